"""A point of a sweep: one run, what sets it apart, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from forge.errors import StageError
from forge.plan.types import Plan, StagePlan
from forge.run.artifacts import artifact_folder, find_artifact
from forge.run.run import run_folder

Status = Literal["waiting", "running", "done", "failed", "pruned", "infeasible", "stopped"]
"""`stopped` and `waiting` are gone on with by the same command, `failed` is tried again. `pruned`: a search ended it
early; its run goes on when it is given by itself. `infeasible`: it does not compile, so there is no run."""


@dataclass(frozen=True, slots=True)
class Point:
    """One run of a sweep."""

    number: int
    """From 1, in the order of the command line, or of a search."""
    overrides: tuple[str, ...]
    """Of the whole command line, one value each: what carries out this run by itself."""
    differs: dict[str, str]
    """Of the keys that vary in the sweep, the value here, as typed."""
    plan: Plan
    output_dir: Path
    hostfile: str | None = None
    remote_shell: str = "ssh"
    track: Mapping[str, Any] = field(default_factory=lambda: {"to": []})
    """Group `track` of its spec."""
    origins: str = ""
    """Who set each value of its spec, as `forge.run.origins` keeps it."""

    @property
    def run_dir(self) -> Path:
        """Where its run is."""
        return run_folder(self.plan, self.output_dir)

    @property
    def log(self) -> Path:
        """What its process says."""
        return self.run_dir / "logs" / "run.log"

    @property
    def artifacts_root(self) -> Path:
        """Where the artifacts of all runs are."""
        return self.output_dir / "artifacts"

    def named(self) -> str:
        """Return how messages call it."""
        return f"run {self.number} ({shown(self.differs)})" if self.differs else f"run {self.number}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a point."""

    status: Status
    lines: tuple[str, ...] = ()
    """Of a failure, or why there is no run."""
    step: int | None = None
    """Where it was ended early."""


@dataclass(frozen=True, slots=True)
class Infeasible:
    """A point that does not compile: no run."""

    number: int
    overrides: tuple[str, ...]
    differs: dict[str, str]
    lines: tuple[str, ...] = field(default=())


def shown(differs: dict[str, str]) -> str:
    """Return what sets a point apart, in the words of the command line."""
    return " ".join(f"{key}={value}" for key, value in differs.items())


def missing_stages(point: Point) -> list[StagePlan]:
    """Return the stages of a point that are not done; none where it is.

    Raises:
        StageError: an artifact is not as it was written.
    """
    return [stage for stage in point.plan.stages if find_artifact(point.artifacts_root, stage) is None]


def is_done(point: Point) -> bool:
    """True where all stages of a point are done and its summary is written."""
    try:
        return (point.run_dir / "summary.json").is_file() and not missing_stages(point)
    except StageError:
        return False  # the run itself says what is wrong with the artifact


def in_making(points: Iterable[Point]) -> set[tuple[str, str]]:
    """Return stage and key of each artifact that runs at work have still to make."""
    return {
        (stage.name, stage.key)
        for point in points
        for stage in point.plan.stages
        if not artifact_folder(point.artifacts_root, stage).is_dir()
    }


def would_wait(point: Point, making: set[tuple[str, str]]) -> bool:
    """True where a run needs one of the artifacts `making`, which others make: it would only wait for it."""
    return any((stage.name, stage.key) in making for stage in point.plan.stages)
