"""Batches that spoil a training, and requests to stop at a step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from forge.engine import loop
from forge.engine.loss import MicroBatchLoss, micro_batch_loss


def poison(monkeypatch: pytest.MonkeyPatch, steps: set[int], kind: str) -> None:
    """Spoil the loss of `steps` (from 1): 'not finite', or a 'spike' that pushes the weights far off."""
    one_step = loop._one_step
    now = {"step": 0}

    def step(training: loop.Training, number: int, save_failed: bool) -> loop.StepOutcome:
        now["step"] = number + 1
        return one_step(training, number, save_failed)

    def spoilt(*arguments: Any) -> MicroBatchLoss:
        losses = micro_batch_loss(*arguments)
        if now["step"] not in steps:
            return losses
        factor = float("nan") if kind == "not finite" else 50.0
        return losses._replace(total=losses.total * factor, cross_entropy=losses.cross_entropy * factor)

    monkeypatch.setattr(loop, "_one_step", step)
    monkeypatch.setattr(loop, "micro_batch_loss", spoilt)


def stop_after(monkeypatch: pytest.MonkeyPatch, run_dir: Path, step: int) -> None:
    """Ask the next training in `run_dir` to stop once it has done `step`, or at once where it is past it."""
    one_step = loop._one_step
    (run_dir / "stop").unlink(missing_ok=True)

    def watched(training: loop.Training, number: int, save_failed: bool) -> loop.StepOutcome:
        if number + 1 >= step:
            (run_dir / "stop").touch()
        outcome = one_step(training, number, save_failed)
        (run_dir / "stop").unlink(missing_ok=True)
        return outcome

    monkeypatch.setattr(loop, "_one_step", watched)
