"""What a tracker is given, and which ones there are."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from forge.errors import SpecError

TRACKING = "tracking"
"""Folder of a run in which trackers keep what they need between two calls."""

Setting = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Tracked:
    """The run that is tracked."""

    name: str
    plan_id: str
    settings: dict[str, Setting]
    """What it was asked to be, by dotted key. Neither paths nor anything of the documents."""
    folder: Path
    """Where the tracker may keep what it needs between two calls."""


@dataclass(frozen=True, slots=True)
class Destinations:
    """Where trackers write, as far as the user says so. Nothing leaves the machine without it."""

    mlflow_uri: str | None = None
    """None: the folder `mlruns` beside runs/."""
    wandb_online: bool = False
    prometheus_file: Path | None = None
    """None: `metrics.prom` in the run's folder."""


class Tracker(Protocol):
    """Takes in one run."""

    def log(self, step: int, time_s: float, values: Mapping[str, float]) -> None:
        """Add the values of a step, by name; `time_s` counts from 1970."""

    def flush(self) -> None:
        """Write out what is held back: it counts as told from then on."""

    def close(self, finished: bool) -> None:
        """End; `finished` says that the run is at its end."""


TRACKERS: dict[str, tuple[str, str | None, str]] = {
    # name: (module with a function `open_tracker(tracked, destinations)`, the package it needs, what to install)
    "mlflow": ("forge.run.tracking.mlflow_tracker", "mlflow", "forge-run[mlflow]"),
    "wandb": ("forge.run.tracking.wandb_tracker", "wandb", "forge-run[wandb]"),
    "prometheus": ("forge.run.tracking.prometheus_tracker", None, "forge-run"),
}


Opener = Callable[[Tracked, Destinations], Tracker]


def find_tracker(name: str) -> Opener:
    """Return what opens the tracker `name` for a run.

    Raises:
        SpecError: there is none of this name, or its package is not installed.
    """
    if name not in TRACKERS:
        raise SpecError(f"command line: --to {name}: no such tracker: there are {', '.join(TRACKERS)}")
    module, _, extra = TRACKERS[name]
    try:
        opener: Opener = importlib.import_module(module).open_tracker
    except ImportError as error:
        raise SpecError(
            f"command line: --to {name}: {error.name} is not installed: pip install '{extra}'"
        ) from None
    return opener
