"""Experts over two processes: training is what it is when each process has all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from forge.engine.checkpoint_folder import checkpoint_name
from forge.engine.distributed import Place
from forge.plan.types import Plan
from tests.engine.chats import write_chats
from tests.engine.ranks import train_in_ranks
from tests.engine.runs import events_of, losses, make_run, state_of, weights, weights_sha256
from tests.factories import tiny_plan

# The order of additions is all that differs: nats a token, gradient norm, shares of tokens.
FP32_BOUND = 5e-6
# In bf16 a product of other rows rounds otherwise.
BF16_BOUND = 2e-3

PAIR = {"processes_per_node": 2, "micro_batch_sequences": 2}
MIXTRAL = {"family": "mixtral", "experts": 4, "experts_per_token": 2, "router_z_loss_coef": 0.01}
QWEN = MIXTRAL | {"family": "qwen3_moe", "norm_topk_prob": False}
ACCUMULATED = {"micro_batch_sequences": 1, "gradient_accumulation_steps": 2}
LEAN = {"activation_checkpointing": "full", "loss_chunks": 2}
CHANGE = 2

WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # name: (changes of the layout, the model)
    "1": ({"zero_stage": 1}, MIXTRAL),
    "2, accumulated, sft": ({"zero_stage": 2} | ACCUMULATED, MIXTRAL),
    "3, lean, qwen": ({"zero_stage": 3} | LEAN, QWEN),
}
GOING_ON = {
    # name: (the run of which it takes the checkpoint, the way in which it goes on, the degree)
    "at the same degree": ("1 shared", "1", 2),
    "no longer shared": ("1 shared", "1", 1),
    "from here on shared": ("1", "1", 2),
    "at stage 3": ("1 shared", "at stage 3", 2),
}
AT_STAGE_3: tuple[dict[str, Any], dict[str, Any]] = ({"zero_stage": 3}, MIXTRAL)


def plan_of(
    layout: dict[str, Any], model: dict[str, Any], degree: int, task: Literal["pretrain", "sft"] = "pretrain"
) -> Plan:
    """Return a plan whose gradients are clipped."""
    schedule = {
        "steps": 4,
        "global_batch_sequences": 4,
        "checkpoint_every_steps": CHANGE,
        "gradient_clip": 0.5,
        "evaluate_every_steps": CHANGE,
        "evaluate_tokens": 200,
        "z_loss": 1e-3,
        "task": task,
    }
    return tiny_plan(
        layout=PAIR | layout | {"expert_parallel_degree": degree}, model=model, schedule=schedule
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tokens: Path) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("experts")
    chats = write_chats(tmp_path_factory.mktemp("chats"))
    plans: dict[str, Plan] = {}
    for name, way in WAYS.items():
        task: Literal["pretrain", "sft"] = "sft" if "sft" in name else "pretrain"
        plans |= {name: plan_of(*way, 1, task), f"{name} shared": plan_of(*way, 2, task)}
    for name, (_, like, degree) in GOING_ON.items():
        plans[name] = plan_of(*WAYS.get(like, AT_STAGE_3), degree)
    found = {name: make_run(folder / name, plan) for name, plan in plans.items()}
    taken_over = {
        found[name]: found[before] / "checkpoints" / checkpoint_name(CHANGE)
        for name, (before, _, _) in GOING_ON.items()
    }
    read = {name: chats if "sft" in name else tokens for name in plans}
    train_in_ranks({found[name]: (plan, read[name]) for name, plan in plans.items()}, 2, taken_over)
    return found


@pytest.mark.parametrize("name", WAYS)
def test_shared_experts_train_as_whole_ones(name: str, runs: dict[str, Path]) -> None:
    whole, shared = runs[name], runs[f"{name} shared"]
    for kind, key in (
        ("step", "loss"),
        ("step", "gradient_norm"),
        ("step", "expert_load_max_over_mean"),
        ("evaluation", "held_out_loss"),
    ):
        found, expected = ([event[key] for event in events_of(run, kind)] for run in (shared, whole))
        assert found == pytest.approx(expected, abs=FP32_BOUND), key
    for step, as_whole in zip(events_of(shared, "step"), events_of(whole, "step"), strict=True):
        assert step["expert_load"] == pytest.approx(as_whole["expert_load"], abs=FP32_BOUND)
    # Each step was clipped, so that a norm of fewer experts would have shown in the next loss.
    assert all(event["gradient_norm"] > 0.5 for event in events_of(whole, "step"))
    assert losses(shared)[4] < losses(shared)[1]


@pytest.mark.parametrize("name", WAYS)
def test_the_trained_model_is_that_of_transformers(name: str, runs: dict[str, Path]) -> None:
    whole, shared = weights(runs[name]), weights(runs[f"{name} shared"])
    assert {key: value.shape for key, value in shared.items()} == {
        key: value.shape for key, value in whole.items()
    }
    assert any(".experts.3." in key for key in shared)
    for key, value in shared.items():
        torch.testing.assert_close(value, whole[key], atol=FP32_BOUND, rtol=0.0, msg=key)


@pytest.mark.parametrize("name", GOING_ON)
def test_a_checkpoint_goes_on_at_another_degree_and_stage(name: str, runs: dict[str, Path]) -> None:
    before, way, degree = GOING_ON[name]
    run_dir = runs[name]
    assert [start["resumed_from"] for start in events_of(run_dir, "train_start")] == [CHANGE]
    assert not events_of(run_dir, "note")
    expected = {step: loss for step, loss in losses(runs[before]).items() if step > CHANGE}
    if before == f"{way} shared" and degree == 2:
        assert losses(run_dir) == expected
        assert weights_sha256(run_dir) == weights_sha256(runs[before])
    else:
        assert losses(run_dir) == pytest.approx(expected, abs=FP32_BOUND)


def test_a_checkpoint_says_nothing_of_who_held_what(runs: dict[str, Path]) -> None:
    whole, shared = (
        state_of(runs[name], plan_of(*WAYS["1"], degree), CHANGE)
        for name, degree in (("1", 1), ("1 shared", 2))
    )
    assert whole.keys() == shared.keys()
    for key, value in shared.items():
        torch.testing.assert_close(value, whole[key], atol=FP32_BOUND, rtol=0.0, msg=key)


@pytest.mark.soak
def test_four_processes_share_experts_in_two_pairs(tokens: Path, tmp_path: Path) -> None:
    four = {"processes_per_node": 4, "micro_batch_sequences": 1}
    plans = {
        f"{stage} {degree} {precision}": plan_of(
            four | {"zero_stage": stage, "precision": precision}, MIXTRAL, degree
        )
        for stage in (1, 2, 3)
        for degree in (1, 2, 4)
        for precision in ("fp32", "bf16")
    }
    found = {name: make_run(tmp_path / name, plan) for name, plan in plans.items()}
    train_in_ranks({found[name]: (plan, tokens) for name, plan in plans.items()}, 4)
    for name, run_dir in found.items():
        stage, _, precision = name.split()
        bound = FP32_BOUND if precision == "fp32" else BF16_BOUND
        whole = found[f"{stage} 1 {precision}"]
        for key in ("loss", "gradient_norm"):
            of_run, of_whole = ([event[key] for event in events_of(run, "step")] for run in (run_dir, whole))
            assert of_run == pytest.approx(of_whole, abs=bound), (name, key)


@pytest.mark.parametrize("tokens_of_rank", [12, 0])
def test_tokens_come_back_with_the_gradients_of_their_experts(tokens_of_rank: int, place: Place) -> None:
    """Where no token comes to any expert of a rank there are gradients all the same, that ranks can sum."""
    import transformers
    from transformers.integrations.moe import grouped_mm_experts_forward
    from transformers.models.mixtral.modeling_mixtral import MixtralExperts

    from forge.engine.expert_parallel import ExpertGroup, send_to_experts

    torch.manual_seed(0)
    config = transformers.MixtralConfig(hidden_size=8, intermediate_size=16, num_local_experts=4)
    experts = MixtralExperts(config)
    experts.expert_group = ExpertGroup(torch.distributed.group.WORLD, None, 1, 0, "one rank")
    for stack in experts.parameters():
        torch.nn.init.normal_(stack, std=0.1)
    hidden, weighted = torch.randn(tokens_of_rank, 8), torch.rand(tokens_of_rank, 2)
    chosen = torch.rand(tokens_of_rank, 3).topk(2, dim=-1).indices  # none to the last expert

    found = []
    for way in (send_to_experts, grouped_mm_experts_forward):
        leaves = [hidden.clone().requires_grad_(), weighted.clone().requires_grad_(), *experts.parameters()]
        made = way(experts, leaves[0], chosen, leaves[1])
        found.append([made, *torch.autograd.grad(made.square().sum(), leaves)])
    for sent, kept in zip(*found, strict=True):
        torch.testing.assert_close(sent, kept)
