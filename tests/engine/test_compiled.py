from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.memory_compiled import LENGTH, example_model, layout_of, measure
from forge.engine.compiled import compile_layers
from forge.engine.distributed import Place
from forge.engine.documents import Documents
from forge.engine.loss import micro_batch_loss
from forge.engine.model import build_model
from forge.errors import StageError
from forge.plan.memory import allocated_bytes, saved_bytes
from forge.plan.types import Plan
from tests.engine.runs import losses, make_run, state_of, train_here, train_in_two
from tests.factories import tiny_plan


@pytest.fixture(autouse=True)
def _compiling() -> None:
    """Let torch compile, which a training with Muon in this process has told it not to do."""
    torch.compiler.set_stance("default")


def _documents(first_length: int) -> Documents:
    positions = np.concatenate([np.arange(first_length), np.arange(32 - first_length)])
    return Documents.at(positions[None].repeat(2, 0), torch.device("cpu"))


def test_a_compiled_layer_computes_the_same_whatever_the_documents_and_is_compiled_once() -> None:
    torch.compiler.reset()
    model = tiny_plan().model
    plain, compiled, recomputed = (build_model(model, 0) for _ in range(3))
    compile_layers(compiled)
    compile_layers(recomputed, recompute=True)
    graphs = []
    for first_length in (20, 9, 32, 1):
        ids = torch.randint(
            3, model.vocab_size, (2, 32), generator=torch.Generator().manual_seed(first_length)
        )
        norms = []
        for network in (plain, compiled, recomputed):
            found = micro_batch_loss(network, ids, ids, model, documents=_documents(first_length))
            found.total.backward()  # type: ignore[no-untyped-call]
            gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
            norms.append((found.cross_entropy.item(), torch.nn.utils.get_total_norm(gradients).item()))
            network.zero_grad()
        assert norms[1] == pytest.approx(norms[0], rel=1e-5)
        assert norms[2] == norms[1]
        graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert graphs[0] > 0
    assert len(set(graphs)) == 1


def test_what_it_saves_is_what_the_plan_says() -> None:
    model = replace(example_model("qwen3"), layers=2)
    saved, _ = measure(model, layout_of("bf16", True))
    assert saved == pytest.approx(saved_bytes(model, layout_of("bf16", True), LENGTH), rel=0.01)
    assert saved < 0.85 * saved_bytes(model, layout_of("bf16", False), LENGTH)


def test_run_again_it_holds_what_the_plan_says() -> None:
    model, layout = example_model("llama"), layout_of("bf16", compiled=True, recompute=True)
    saved, peak = measure(model, layout)
    assert saved == pytest.approx(saved_bytes(model, layout, LENGTH), rel=0.02)
    tokens = layout.micro_batch_sequences * LENGTH
    states = (2 + 8) * model.parameters
    assert peak == pytest.approx(allocated_bytes(model, layout, 1, LENGTH, tokens) - states, rel=0.02)


def test_a_machine_without_a_compiler_says_so() -> None:
    missing = {"cpp.cxx": (None, "no-such-compiler")}
    with (
        torch._inductor.config.patch(missing),
        pytest.raises(
            StageError, match=r"no C\+\+ compiler: install g\+\+, or use engine.compile_layers=false"
        ),
    ):
        compile_layers(build_model(tiny_plan().model, 0))


@pytest.fixture
def compiled_plan() -> Plan:
    return tiny_plan(
        layout={"compile_layers": True, "activation_checkpointing": "full"}, schedule={"steps": 3}
    )


def test_training_stops_and_goes_on_bit_for_bit(
    tmp_path: Path, compiled_plan: Plan, tokens: Path, place: Place
) -> None:
    states: list[dict[str, Any]] = []
    told = []
    for name, train in (("whole", train_here), ("parts", train_in_two)):
        run_dir = make_run(tmp_path / name, compiled_plan)
        train(compiled_plan, tokens, run_dir, place)
        states.append(state_of(run_dir, compiled_plan, 3))
        told.append(losses(run_dir))
    assert told[0] == told[1]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
