"""Training in fp8. A CPU has no such instructions: torchao casts to fp8 and back, and multiplies in bf16."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from forge.engine.compiled import compile_layers
from forge.engine.distributed import Place
from forge.engine.documents import Documents
from forge.engine.fp8 import check_fp8_installed, multiply_in_fp8
from forge.engine.loss import micro_batch_loss
from forge.engine.model import build_model
from forge.errors import FitError, StageError
from forge.plan.types import Plan
from tests.engine.runs import losses, make_run, state_of, train_here, train_in_two, weights
from tests.factories import tiny_plan

# e4m3 has 4 significant bits: the most that losses of a few steps differ from those in bf16, nats a token.
FP8_BOUND = 2e-3

needs_torchao = pytest.mark.skipif(
    importlib.util.find_spec("torchao") is None, reason="torchao is not installed"
)


@pytest.fixture
def _small_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let matrices of a tiny model be multiplied in fp8, which gain nothing by it."""
    for name in ("LEAST_OUTPUTS", "LEAST_INPUTS", "SMALL_OUTPUTS", "SMALL_INPUTS"):
        monkeypatch.setattr(f"forge.plan.fp8.{name}", 0)


def plan_in(precision: str, zero_stage: int = 1, **layout: Any) -> Plan:
    shape = {"precision": precision, "zero_stage": zero_stage, "micro_batch_sequences": 2} | layout
    return tiny_plan(
        layout=shape | {"gradient_accumulation_steps": 2},
        schedule={"steps": 6},
        deepspeed={"bf16": {"enabled": True}},
    )


@needs_torchao
@pytest.mark.usefixtures("_small_matrices")
@pytest.mark.parametrize(
    "layout",
    [
        {"zero_stage": 1},
        {"zero_stage": 2, "activation_checkpointing": "full"},
        {"zero_stage": 3, "activation_checkpointing": "selective"},
    ],
    ids=str,
)
def test_fp8_trains_as_bf16_and_resumes_bit_for_bit(
    layout: dict[str, Any], tmp_path: Path, tokens: Path, place: Place
) -> None:
    found = {}
    for precision in ("bf16", "fp8"):
        plan = plan_in(precision, **layout)
        run_dir = make_run(tmp_path / precision, plan)
        train_here(plan, tokens, run_dir, place)
        found[precision] = losses(run_dir)
    assert list(found["fp8"].values()) == pytest.approx(list(found["bf16"].values()), abs=FP8_BOUND)
    assert found["fp8"] != found["bf16"]
    assert all(weight.dtype == torch.bfloat16 for weight in weights(run_dir).values())
    parts = make_run(tmp_path / "parts", plan)
    train_in_two(plan, tokens, parts, place)
    assert losses(parts) == found["fp8"]
    one, other = (state_of(folder, plan, 6) for folder in (run_dir, parts))
    assert all(torch.equal(one[name], other[name]) for name in one)


@needs_torchao
@pytest.mark.usefixtures("_small_matrices")
def test_a_document_changes_nothing_of_the_one_after_it() -> None:
    """A scale for a whole tensor would: the largest value of one document would round the others anew."""
    model = tiny_plan().model
    network = build_model(model, 0, dtype=torch.bfloat16)
    plain = build_model(model, 0, dtype=torch.bfloat16)
    multiply_in_fp8(network)
    with torch.no_grad():
        network.get_input_embeddings().weight[7] *= 1000
    ids = torch.randint(8, model.vocab_size, (1, 32), generator=torch.Generator().manual_seed(0))
    other = ids.clone()
    other[0, :20] = 7
    documents = Documents.at(np.concatenate([np.arange(20), np.arange(12)])[None], torch.device("cpu"))
    found, changed, unrounded = (
        net(each, **documents.options()).logits[0, 20:]
        for net, each in ((network, ids), (network, other), (plain, ids))
    )
    assert torch.equal(found, changed)
    assert not torch.equal(found, unrounded)


@needs_torchao
@pytest.mark.usefixtures("_small_matrices")
def test_only_the_linear_layers_of_layers_are_in_fp8_and_no_weight_is_new() -> None:
    network = build_model(tiny_plan().model, 0, dtype=torch.bfloat16)
    before = dict(network.named_parameters())
    multiply_in_fp8(network)
    after = dict(network.named_parameters())
    assert list(after) == list(before)
    assert all(after[name] is before[name] for name in after)
    kinds = {name: type(module).__name__ for name, module in network.named_modules()}
    assert kinds["lm_head"] == "Linear"
    for part in ("self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj"):
        assert kinds[f"model.layers.1.{part}"] == "Float8Linear"


@needs_torchao
def test_a_tiny_matrix_stays_in_bf16() -> None:
    network = build_model(tiny_plan().model, 0, dtype=torch.bfloat16)
    multiply_in_fp8(network)
    assert not any(type(module).__name__ == "Float8Linear" for module in network.modules())


def test_without_torchao_it_is_said_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao", None)
    line = "torchao is not installed: pip install 'forge-run\\[fp8\\]', or use train.precision=bf16"
    with pytest.raises(FitError, match=f"^train.precision: {line}"):
        check_fp8_installed(plan_in("fp8").layout)
    check_fp8_installed(plan_in("bf16").layout)
    with pytest.raises(StageError, match=f"^train: train.precision: {line}"):
        multiply_in_fp8(torch.nn.Linear(16, 16))


@pytest.mark.slow
@needs_torchao
@pytest.mark.usefixtures("_small_matrices")
def test_compiled_it_computes_the_same() -> None:
    torch.compiler.set_stance("default")
    torch.compiler.reset()
    model = tiny_plan().model
    plain, compiled = (build_model(model, 0, dtype=torch.bfloat16) for _ in range(2))
    for network in (plain, compiled):
        multiply_in_fp8(network)
    compile_layers(compiled)
    documents = Documents.at(
        np.concatenate([np.arange(20), np.arange(12)])[None].repeat(2, 0), torch.device("cpu")
    )
    for seed in range(2):
        ids = torch.randint(3, model.vocab_size, (2, 32), generator=torch.Generator().manual_seed(seed))
        norms = []
        for network in (plain, compiled):
            found = micro_batch_loss(network, ids, ids, model, documents=documents)
            found.total.backward()  # type: ignore[no-untyped-call]
            gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
            norms.append((found.cross_entropy.item(), torch.nn.utils.get_total_norm(gradients).item()))
            network.zero_grad()
        assert norms[1] == pytest.approx(norms[0], rel=1e-2)
