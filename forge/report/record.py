"""What a run's page is made of, read from its folder: the plan, its history, what is finished, who set what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forge.errors import StageError
from forge.plan.types import Plan
from forge.run.artifacts import Artifact, find_artifact
from forge.run.evaluations import artifacts_root, plan_of
from forge.run.history import History, HistoryReader
from forge.run.measured import measured_so_far, pairs_of_steps, predicted_and_measured
from forge.run.origins import Chains, read_origins


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as far as it has come."""

    folder: Path
    plan: Plan
    history: History
    artifacts: dict[str, Artifact]
    """Of the stages that are done, in the plan's order."""
    problems: tuple[str, ...]
    """Artifacts that are not as they were written, a line each."""
    origins: Chains | None

    def summary(self, stage: str) -> dict[str, Any] | None:
        """Return what a stage found; None where it is not done."""
        artifact = self.artifacts.get(stage)
        return None if artifact is None else artifact.summary

    @property
    def is_done(self) -> bool:
        """Whether every stage is."""
        return len(self.artifacts) == len(self.plan.stages)

    @property
    def failure(self) -> str | None:
        """The line of the stage that failed last, where nothing was done about it since."""
        failed = [stage for stage in self.history.stages.values() if stage.state == "failed"]
        return failed[-1].error if failed and not self.is_done else None

    @property
    def at(self) -> str | None:
        """The stage that is next or going on; None where all are done."""
        return next((stage.name for stage in self.plan.stages if stage.name not in self.artifacts), None)

    def measured(self) -> dict[str, list[float]]:
        """Return [predicted, measured] by quantity, as far as there is something measured."""
        training = self.summary("train")
        if training is not None:
            return predicted_and_measured(self.plan, training)
        so_far = measured_so_far(self.plan, self.history)
        return {} if so_far is None else pairs_of_steps(self.plan, so_far)


class RecordReader:
    """Reads a run again and again; of its events only those that are new."""

    def __init__(self, run_dir: Path) -> None:
        """Open the folder of a run. Raises SpecError where it is none."""
        self._folder = run_dir
        self._plan = plan_of(run_dir)
        self._events = HistoryReader(run_dir)

    def read(self) -> RunRecord:
        """Return the run as it is now."""
        artifacts: dict[str, Artifact] = {}
        problems: list[str] = []
        for stage in self._plan.stages:
            try:
                found = find_artifact(artifacts_root(self._folder), stage)
            except StageError as error:
                problems += error.lines
                continue
            if found is not None:
                artifacts[stage.name] = found
        return RunRecord(
            self._folder.resolve(),
            self._plan,
            self._events.read(),
            artifacts,
            tuple(problems),
            read_origins(self._folder),
        )


def read_record(run_dir: Path) -> RunRecord:
    """Return a run as far as it has come. Raises SpecError where the folder is none."""
    return RecordReader(run_dir).read()
