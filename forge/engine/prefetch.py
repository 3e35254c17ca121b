"""Micro-batches read ahead: the next one by a thread, while the one before it is computed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from forge.engine.batches import MicroBatch, RankBatches


class Prefetched:
    """The micro-batches of a training. Which they are is a function of the step, whatever was read ahead."""

    def __init__(self, batches: RankBatches) -> None:
        plan = batches.plan
        self._batches = batches
        self._accumulations, self._steps = plan.layout.gradient_accumulation_steps, plan.schedule.steps
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
        self._ahead: tuple[int, Iterator[MicroBatch], Future[MicroBatch]] | None = None
        """The step that was begun ahead, what is left of it, and its first micro-batch."""

    def step(self, step: int) -> Iterator[MicroBatch]:
        """Yield what `RankBatches.step` does. A step that was read ahead and is left out is dropped.

        Raises:
            StageError: as it does, at the micro-batch that cannot be read.
        """
        ahead, self._ahead = self._ahead, None
        _, source, coming = ahead if ahead is not None and ahead[0] == step else self._begin(step)
        for left in reversed(range(self._accumulations)):
            batch = coming.result()
            if left:
                coming = self._reader.submit(next, source)
            elif step + 1 < self._steps:
                self._ahead = self._begin(step + 1)
            yield batch

    def _begin(self, step: int) -> tuple[int, Iterator[MicroBatch], Future[MicroBatch]]:
        source = self._batches.step(step)
        return step, source, self._reader.submit(next, source)
