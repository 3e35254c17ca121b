"""A ladder whose rungs are trained: what the smaller ones say of the largest is what comes."""

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
    *("model.layers=1", "model.hidden_size=144", "model.attention_heads=9", "model.kv_heads=9"),
    *("model.intermediate_size=384", "train.tokens=640000", "train.global_batch_tokens=640"),
    *(
        "train.sequence_length=32",
        "train.checkpoint_every_steps=100000",
        "train.evaluate_every_steps=1000000",
    ),
    *("sweep=ladder", "sweep.share=10", "sweep.rungs=4"),
)
"""0.32M parameters, a thousand steps; its rungs have from 0.05M to 0.26M. All have one layer: a step of these takes as
long as there are layers."""


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
@pytest.mark.slow
def test_the_smaller_rungs_say_what_comes_of_the_largest(tmp_path: Path, tokens: Path, place: Place) -> None:
    values, hardware = composed(*RUN)
    run = compiled(*RUN)
    ladder = plan_ladder(values, run, lambda changed: compile_plan(changed, hardware, LAPTOP, ()))

    def loss_of(*overrides: str) -> float:
        """Train a command line, and return the held-out loss at its end in nats a token."""
        plan = compiled(*overrides)
        run_dir = make_run(tmp_path / f"{plan.name}-{plan.id}", plan)
        train_to_the_end(plan, tokens, run_dir, place)
        loss: float = events_of(run_dir, "evaluation")[-1]["held_out_loss"]
        return loss

    losses: dict[Point, float] = {}
    for points in (first_points, next_points):
        wanted = first_points(ladder) if points is first_points else next_points(ladder, losses)
        losses |= {point: loss_of(*with_changes(RUN, changes_of(ladder, point))) for point in wanted}
    outcome = conclude(ladder, losses, seed=run.seed)
    flops = [rung.compute_flops for rung in ladder.rungs]

    assert list(outcome.losses_nats) == sorted(outcome.losses_nats, reverse=True)
    below = predict_loss(flops[:-1], outcome.losses_nats[:-1], flops[-1], seed=run.seed)
    assert below.low_nats <= outcome.losses_nats[-1] <= below.high_nats
