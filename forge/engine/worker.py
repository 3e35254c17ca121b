"""The training worker: open the plan, join the others, build, resume, train, save."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deepspeed

from forge.data.loading import TokenShard, sequence_count
from forge.engine.batches import RankBatches
from forge.engine.checkpoint import load_checkpoint
from forge.engine.distributed import Place, max_over_ranks
from forge.engine.events import append_event
from forge.engine.loop import train
from forge.engine.loss import compute_loss_in_chunks
from forge.engine.memory import peak_memory_bytes
from forge.engine.model import PAD_ID, build_model
from forge.engine.optimizer import build_optimizer
from forge.engine.summary import summarize
from forge.engine.weights import save_weights
from forge.errors import StageError
from forge.plan.types import Plan


def work(
    plan: Plan, tokens: Path, run_dir: Path, out: Path, place: Place, start_up_s: Callable[[], float]
) -> None:
    """Train `plan` on the tokens artifact, from its newest checkpoint in `run_dir` on; all ranks call it.

    Writes events and checkpoints to `run_dir` and, when all steps are done, the model and training.json to `out`.
    `start_up_s` is asked once, before the first step, for the seconds since launch.

    Raises:
        StageError: plan and tokens do not fit, training diverged, or the disk is full.
    """
    events_path = run_dir / "events.jsonl"

    def tell(event: str, **fields: Any) -> None:
        if place.rank == 0:
            append_event(events_path, event, **fields)

    check(plan, tokens, place)
    shard = TokenShard.open(tokens, "train")
    engine = build_engine(plan, PAD_ID if shard.pad_id is None else shard.pad_id)
    step = load_checkpoint(engine, plan, run_dir, place, lambda line: tell("note", line=line))
    tell("train_start", step=step or 0, resumed_from=step, steps=plan.schedule.steps, start_up_s=start_up_s())
    batches = RankBatches(plan, shard, place.rank, place.device)
    finished = train(engine, plan, batches, run_dir, step or 0, place, tell)
    if finished:
        save_weights(engine, plan, out, place)
        peak_bytes = max_over_ranks(peak_memory_bytes(place.device), place)
        if place.rank == 0:
            summary = summarize(plan, events_path, peak_bytes)
            (out / "training.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    tell("train_end", finished=finished)


def build_engine(plan: Plan, pad_id: int = PAD_ID) -> Any:
    """Return the DeepSpeed engine around a fresh model; all ranks call it."""
    layout = plan.layout
    network = build_model(plan.model, plan.seed, layout.activation_checkpointing, layout.attention, pad_id)
    if layout.loss_chunks > 1:
        compute_loss_in_chunks(network, layout.loss_chunks)
    engine, *_ = deepspeed.initialize(
        model=network,
        optimizer=build_optimizer(plan, network),
        config=json.loads(json.dumps(plan.deepspeed)),  # its own copy: DeepSpeed writes into it
    )
    return engine


def check(plan: Plan, tokens: Path, place: Place) -> None:
    """Refuse a plan that can't train here.

    Raises:
        StageError: with the reason and the remedy.
    """
    layout, schedule = plan.layout, plan.schedule
    if layout.precision == "bf16" and layout.zero_stage == 0:
        # DeepSpeed 0.19's wrapper for this pair takes a dummy Adam step first: the first updates come out too small.
        raise StageError("train: bf16 does not train right with engine.zero_stage=0: use engine.zero_stage=1")
    if place.world_size != layout.world_size:
        raise StageError(
            f"train: {place.world_size} processes run a plan for {layout.world_size}: start it with forge-run"
        )
    facts = json.loads((tokens / "tokens.json").read_text(encoding="utf-8"))
    if facts["vocab_size"] > plan.model.vocab_size:
        raise StageError(
            f"train: the tokens have a vocabulary of {facts['vocab_size']}, the model of {plan.model.vocab_size}: "
            "compile the plan again"
        )
    if sequence_count(facts["train_tokens"], schedule.sequence_length) < 1:
        raise StageError(
            f"train: {facts['train_tokens']} training tokens do not fill one sequence of "
            f"{schedule.sequence_length} and its target: add documents or lower train.sequence_length"
        )
