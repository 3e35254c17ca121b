"""Batches read ahead are those of their step, whatever is left out."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from forge.data.loading import TokenShard
from forge.engine.batches import MicroBatch, RankBatches
from forge.engine.prefetch import Prefetched
from forge.errors import StageError
from tests.factories import BOS_ID, EOS_ID, tiny_plan


def batches_of(tokens: Path, accumulations: int = 1, **schedule: Any) -> RankBatches:
    plan = tiny_plan(
        layout={"micro_batch_sequences": 4 // accumulations, "gradient_accumulation_steps": accumulations},
        schedule={"global_batch_sequences": 4} | schedule,
    )
    return RankBatches(plan, TokenShard.open(tokens, "train"), 0, torch.device("cpu"), BOS_ID, EOS_ID)


def inputs_of(batches: Iterator[MicroBatch]) -> list[Any]:
    return [batch.inputs.tolist() for batch in batches]


@pytest.mark.parametrize("accumulations", [1, 2, 4])
def test_each_step_has_its_own_whatever_was_read_ahead(tokens: Path, accumulations: int) -> None:
    batches = batches_of(tokens, accumulations, steps=9)
    ahead = Prefetched(batches)
    for step in (0, 1, 2, 5, 6, 2, 3, 8):
        assert inputs_of(ahead.step(step)) == inputs_of(batches.step(step))
        assert len(inputs_of(batches.step(step))) == accumulations


def test_a_step_that_is_left_half_way_is_begun_anew(tokens: Path) -> None:
    batches = batches_of(tokens, 4, steps=9)
    ahead = Prefetched(batches)
    for step in (3, 3, 4):
        next(ahead.step(step))
    assert inputs_of(ahead.step(4)) == inputs_of(batches.step(4))


class Failing:
    """Batches of which those of one step cannot be read."""

    def __init__(self, batches: RankBatches, fails: int | None = None) -> None:
        self.plan = batches.plan
        self._batches, self._fails = batches, fails

    def step(self, step: int) -> Iterator[MicroBatch]:
        if step == self._fails:
            raise StageError("the tokens are gone")
        yield from self._batches.step(step)


def test_the_next_step_is_read_while_one_is_computed_and_none_after_the_last(tokens: Path) -> None:
    failing: Any = Failing(batches_of(tokens, 2, steps=3))
    ahead = Prefetched(failing)
    computing = ahead.step(0)
    next(computing)
    next(computing)
    waiting = ahead._ahead
    assert waiting is not None
    assert waiting[2].result(timeout=30).inputs.tolist() == inputs_of(failing._batches.step(1))[0]
    inputs_of(ahead.step(2))
    assert ahead._ahead is None


def test_what_cannot_be_read_is_said_at_its_step_and_not_before(tokens: Path) -> None:
    failing: Any = Failing(batches_of(tokens, steps=9), fails=2)
    ahead = Prefetched(failing)
    for step in (0, 1):
        assert inputs_of(ahead.step(step)) == inputs_of(failing._batches.step(step))
    with pytest.raises(StageError, match="the tokens are gone"):
        inputs_of(ahead.step(2))
    assert inputs_of(ahead.step(3)) == inputs_of(failing._batches.step(3))


def test_ten_thousand_steps_take_no_more_memory_than_a_thousand(tokens: Path) -> None:
    ahead = Prefetched(batches_of(tokens, steps=10_000))
    resident_bytes = []
    for step in range(10_000):
        for _ in ahead.step(step):
            pass
        if step in (999, 9_999):
            gc.collect()
            resident_bytes.append(psutil.Process().memory_info().rss)
    # To keep one array of each batch would take 9 MB.
    assert resident_bytes[1] - resident_bytes[0] < 4 * 1024**2
