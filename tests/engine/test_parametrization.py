"""muP: what a network computes does not grow with its width, and its two forms train alike."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from forge.engine.distributed import Place
from forge.engine.model import build_model
from forge.engine.optimizer import build_optimizer, set_learning_rate
from forge.plan.parametrization import scale_of
from forge.plan.types import Plan
from tests.engine.runs import losses, make_run, train_here, weights_sha256
from tests.factories import tiny_plan

WIDTHS = (32, 64, 128, 256)
LAYER = "model.layers.{}"
STEPS = 4
RATE = 0.02


def _plan(width: int, mup: bool, **model: Any) -> Plan:
    shape: dict[str, Any] = {
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "attention_heads": width // 8,
        "vocab_size": 64,
    }
    base = {"mup_base_hidden_size": WIDTHS[0], "mup_base_head_dim": 8} if mup else {}
    shape |= {"kv_heads": width // 16, "tied_embeddings": False, "initializer_std": 0.1}
    return tiny_plan(model=shape | model, schedule={"weight_decay": 0.0, "adam_epsilon": 1e-12} | base)


def _build(plan: Plan) -> Any:
    return build_model(
        plan.model,
        seed=1,
        attention="eager",
        dtype=torch.float64,
        first_scale=lambda name, dimensions: (
            scale_of(name, dimensions, plan.model, plan.schedule).first_value
        ),
    )


def _ids() -> torch.Tensor:
    return torch.randint(3, 64, (4, 24), generator=torch.Generator().manual_seed(5))


def _train(network: Any, optimizer: torch.optim.Optimizer, steps: int = STEPS) -> None:
    ids = _ids()
    for _ in range(steps):
        logits = network(input_ids=ids[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        network.zero_grad()
        torch.autograd.backward(loss)
        set_learning_rate(optimizer, RATE)
        optimizer.step()


@functools.cache
def _coordinates(width: int, mup: bool, tied: bool = False) -> dict[str, tuple[float, float]]:
    """Return the root mean square of each layer's output and of the logits: at first, and of their change since."""
    plan = _plan(width, mup, tied_embeddings=tied)
    network = _build(plan)

    @torch.no_grad()
    def look() -> dict[str, torch.Tensor]:
        output = network(input_ids=_ids(), use_cache=False, output_hidden_states=True)
        seen = {f"layer {n}": state for n, state in enumerate(output.hidden_states[1:-1], 1)}
        return seen | {"logits": output.logits}

    before = look()
    _train(network, build_optimizer(plan, network))
    after = look()
    return {name: (_size(before[name]), _size(after[name] - before[name])) for name in before}


def _size(values: torch.Tensor) -> float:
    return float(values.pow(2).mean().sqrt())


@pytest.mark.parametrize("tied", [False, True])
def test_with_mup_coordinates_do_not_grow_with_the_width(tied: bool) -> None:
    narrow = _coordinates(WIDTHS[0], True, tied)
    for width in WIDTHS[1:]:
        for name, (first, change) in _coordinates(width, True, tied).items():
            assert first < 1.25 * narrow[name][0], (width, name)
            assert 0.4 * narrow[name][1] < change < 1.6 * narrow[name][1], (width, name)


def test_without_it_they_do() -> None:
    narrow, wide = (_coordinates(width, False) for width in (WIDTHS[0], WIDTHS[-1]))
    assert wide["logits"][0] > 2 * narrow["logits"][0]
    assert wide["logits"][1] > 3 * narrow["logits"][1]
    assert wide["layer 1"][1] > 3 * narrow["layer 1"][1]


@pytest.mark.parametrize("family", ["llama", "qwen2"])
@pytest.mark.parametrize("tied", [False, True])
def test_scaled_values_and_rates_train_as_multiplied_outputs_do(family: str, tied: bool) -> None:
    """Against table 8 of Yang et al. 2022: logits multiplied by base width / width, scores divided by head_dim."""
    changes = {"family": family, "attention_heads": 8, "kv_heads": 8, "head_dim": 32, "tied_embeddings": tied}
    plan = _plan(256, True, **changes)
    assert plan.schedule.mup_base_hidden_size == 32
    ours, theirs = _build(plan), _build(plan)
    _multiply_outputs(theirs)
    ids = _ids()
    with torch.no_grad():
        torch.testing.assert_close(_logits(ours, ids), _logits(theirs, ids))
    _train(ours, build_optimizer(plan, ours))
    _train(theirs, torch.optim.Adam(_table_8_groups(theirs), betas=(0.9, 0.95), eps=1e-12))
    with torch.no_grad():
        torch.testing.assert_close(_logits(ours, ids), _logits(theirs, ids), rtol=1e-4, atol=1e-6)


def _logits(network: Any, ids: torch.Tensor) -> torch.Tensor:
    logits: torch.Tensor = network(input_ids=ids, use_cache=False).logits
    return logits


def _multiply_outputs(network: Any, width: float = 32 / 256, head: float = math.sqrt(8 / 32)) -> None:
    """Undo what is in first values of `network`, and multiply outputs instead."""

    def times(factor: float) -> Callable[[Any, Any, torch.Tensor], torch.Tensor]:
        return lambda module, inputs, output: output * factor

    with torch.no_grad():
        network.model.norm.weight.div_(width)
        network.lm_head.register_forward_hook(times(width))
        for layer in network.model.layers:
            layer.self_attn.q_proj.weight.div_(head)
            layer.self_attn.q_proj.register_forward_hook(times(head))


def _table_8_groups(network: Any, width: float = 32 / 256) -> list[dict[str, Any]]:
    hidden = [p for name, p in network.named_parameters() if p.ndim == 2 and "layers" in name]
    others = [p for p in network.parameters() if not any(p is one for one in hidden)]
    return [
        {"params": hidden, "learning_rate_scale": width},
        {"params": others, "learning_rate_scale": 1.0},
    ]


def test_decay_a_step_is_that_of_the_base_width() -> None:
    plan = tiny_plan(model={"hidden_size": 256}, schedule={"mup_base_hidden_size": 32, "weight_decay": 0.1})
    optimizer = build_optimizer(plan, build_model(plan.model, seed=1))
    set_learning_rate(optimizer, 0.5)
    shrinks = {round(group["lr"] * group["weight_decay"], 12) for group in optimizer.param_groups}
    assert shrinks == {0.0, 0.05}
    assert {group["lr"] for group in optimizer.param_groups} == {0.5, 0.0625}


@pytest.mark.parametrize("zero_stage", [1, 3])
def test_it_resumes_bit_for_bit_and_every_stage_trains_alike(
    zero_stage: int, tmp_path: Path, tokens: Path, place: Place
) -> None:
    base = {"mup_base_hidden_size": 8, "mup_base_head_dim": 4}
    plan = tiny_plan(layout={"zero_stage": zero_stage}, schedule=base)
    whole = make_run(tmp_path / "whole", plan)
    train_here(plan, tokens, whole, place)
    halves = make_run(tmp_path / "halves", plan)
    (halves / "stop").touch()
    train_here(plan, tokens, halves, place)
    (halves / "stop").unlink()
    train_here(plan, tokens, halves, place)
    assert losses(halves) == losses(whole)
    assert weights_sha256(halves) == weights_sha256(whole)

    other = tiny_plan(layout={"zero_stage": 2}, schedule=base)
    there = make_run(tmp_path / "there", other)
    train_here(other, tokens, there, place)
    assert losses(there) == pytest.approx(losses(whole), abs=5e-6)
    plain = make_run(tmp_path / "plain", tiny_plan())
    train_here(tiny_plan(), tokens, plain, place)
    assert losses(plain) != pytest.approx(losses(whole), abs=1e-3)
