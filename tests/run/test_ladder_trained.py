"""A ladder whose rungs are trained: what the smaller ones say of the larger ones, and of the run, is what comes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

# Read when deepspeed and gloo are first used.
os.environ["DS_ACCELERATOR"] = "cpu"
os.environ["GLOO_SOCKET_IFNAME"] = "lo"
os.environ["LOCAL_RANK"] = "0"

from forge.data.corpus import build_corpus
from forge.data.lake import build_lake
from forge.data.tokenizer import train_tokenizer
from forge.data.tokens import build_tokens
from forge.plan.compile import compile_plan
from forge.plan.ladder import plan_ladder, with_changes
from forge.plan.types import Plan
from forge.progress import SilentProgress
from forge.run.ladder import Point, changes_of, conclude, first_points, next_points
from forge.run.scaling_law import predict_loss
from tests.engine.runs import events_of, make_run, train_to_the_end
from tests.plan.specs import LAPTOP, compiled, composed

if TYPE_CHECKING:
    from forge.engine.distributed import Place

RUN = (
    *("+recipe=legal_tiny", "hardware=cpu", "hardware.threads_per_process=1", "tokenizer.vocab_size=512"),
    *("model.layers=8", "model.hidden_size=64", "model.attention_heads=8", "model.kv_heads=4"),
    *("model.intermediate_size=172", "train.tokens=400000"),
    *(
        "train.evaluate_every_steps=1000000",
        "train.checkpoint_every_steps=100",
        "train.evaluate_tokens=40000",
    ),
    *("sweep=ladder", "sweep.share=10", "sweep.rungs=4"),
)
"""0.4M parameters, four hundred steps; its rungs have from 0.07M to 0.3M."""


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the licence texts of the recipe as tokens."""
    plan, folder = compiled(*RUN), tmp_path_factory.mktemp("data")
    lake, corpus, tokenizer, out = (folder / name for name in ("lake", "corpus", "tokenizer", "tokens"))
    for each in (lake, corpus, tokenizer, out):
        each.mkdir()
    quiet = SilentProgress()
    build_lake([plan.spec["data"]["path"]], _parameters(plan, "lake"), lake, quiet)
    build_corpus(lake, _parameters(plan, "corpus"), corpus, quiet)
    train_tokenizer(corpus, _parameters(plan, "tokenizer"), tokenizer, quiet)
    build_tokens(corpus, tokenizer, _parameters(plan, "tokens"), out, quiet)
    return out


def _parameters(plan: Plan, stage: str) -> dict[str, Any]:
    return plan.stage(stage).parameters


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    import torch

    from forge.engine.distributed import join, leave

    meeting = tmp_path_factory.mktemp("store") / "store"
    torch.set_num_threads(1)  # more wait for each other on a busy machine
    torch.distributed.init_process_group("gloo", init_method=meeting.as_uri(), rank=0, world_size=1)
    yield join(compiled(*RUN).layout)
    leave()


@pytest.mark.soak
def test_the_smaller_rungs_say_what_comes_of_the_larger_and_of_the_run(
    tmp_path: Path, tokens: Path, place: Place
) -> None:
    values, hardware = composed(*RUN)
    run = compiled(*RUN)
    ladder = plan_ladder(values, run, lambda changed: compile_plan(changed, hardware, LAPTOP, ()))

    def loss_of(*overrides: str) -> float:
        """Train a command line, and return the held-out loss at its end in nats a token."""
        plan = compiled(*overrides)
        run_dir = make_run(tmp_path / f"{plan.name}-{plan.id}", plan)
        train_to_the_end(plan, tokens, run_dir, place)
        loss: float = events_of(run_dir, "evaluation")[-1]["held_out_loss"]
        print(
            f"{plan.name}: {plan.model.parameters:,} parameters, {plan.schedule.tokens:,} tokens: {loss:.4f}"
        )
        return loss

    losses: dict[Point, float] = {}
    for points in (first_points, next_points):
        wanted = first_points(ladder) if points is first_points else next_points(ladder, losses)
        losses |= {point: loss_of(*with_changes(RUN, changes_of(ladder, point))) for point in wanted}
    outcome = conclude(ladder, losses, seed=run.seed)
    flops = [rung.compute_flops for rung in ladder.rungs]
    print(outcome)

    # The largest rung, from those below it.
    below = predict_loss(flops[:-1], outcome.losses_nats[:-1], flops[-1], seed=run.seed)
    print(below)
    assert below.low_nats <= outcome.losses_nats[-1] <= below.high_nats
    # The run itself, at the learning rate found for it.
    rate = run.schedule.learning_rate * outcome.rate_factor
    came = loss_of(*RUN, f"train.learning_rate={rate:.3g}")
    assert outcome.prediction.low_nats <= came <= outcome.prediction.high_nats
    assert came < outcome.losses_nats[-1]
