"""Weights & Biases: files in the run's folder, unless the user lets them be sent.

`wandb sync` sends them later, by hand.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

os.environ["WANDB_ERROR_REPORTING"] = "false"  # else its crashes are told to its makers

import wandb

from forge.run.tracking.tracker import Destinations, Tracked


class WandbTracker:
    """One W&B run under the plan's id; each later call adds to it."""

    def __init__(self, tracked: Tracked, online: bool) -> None:
        settings = wandb.Settings(
            console="off",
            disable_code=True,
            disable_git=True,
            save_code=False,
            silent=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
        )
        self._run: Any = wandb.init(
            project=tracked.name,
            id=tracked.plan_id,
            name=f"{tracked.name}-{tracked.plan_id}",
            dir=tracked.folder,
            config=dict(tracked.settings),
            mode="online" if online else "offline",
            resume="allow",
            settings=settings,
        )

    def log(self, step: int, time_s: float, values: Mapping[str, float]) -> None:
        """Add the values of a step. W&B passes over steps that it has seen: a resumed run repeats none."""
        self._run.log({"time_s": time_s, **values}, step=step)

    def flush(self) -> None:
        """Do nothing: W&B writes each value into its file."""

    def close(self, finished: bool) -> None:
        """End the run."""
        self._run.finish(exit_code=0 if finished else 1)


def open_tracker(tracked: Tracked, destinations: Destinations) -> WandbTracker:
    """Return the tracker of a run."""
    return WandbTracker(tracked, destinations.wandb_online)
