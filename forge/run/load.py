"""A run as it lies on disk: its plan, its events, what its stages made."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forge.engine.events import read_events
from forge.plan.types import Plan
from forge.run.artifacts import Artifact, find_artifact
from forge.run.evaluations import artifacts_root, plan_of
from forge.run.summary import SUMMARY


@dataclass(frozen=True, slots=True)
class Run:
    """A plan that was carried out, as far as it went."""

    folder: Path
    plan: Plan
    artifacts: dict[str, Artifact]
    """What each finished stage made, by stage."""
    summary: dict[str, Any] | None
    """What became of it, with predicted beside measured; None before the end."""

    def events(self) -> list[dict[str, Any]]:
        """Return what happened, in order (`schemas/events.schema.json`). Of a step seen twice the last one holds."""
        return read_events(self.folder / "events.jsonl")[0]

    @property
    def model_folder(self) -> Path | None:
        """The trained model as a Hugging Face folder; None where it was not exported."""
        export = self.artifacts.get("export")
        folder = None if export is None else export.folder / "hf"
        return folder if folder is not None and folder.is_dir() else None


def load_run(folder: Path | str) -> Run:
    """Return the run of a folder below runs/.

    Raises:
        SpecError: the folder is no run.
        StageError: an artifact of it was changed after it was written.
    """
    folder = Path(folder)
    plan = plan_of(folder)
    found = {stage.name: find_artifact(artifacts_root(folder), stage) for stage in plan.stages}
    artifacts = {name: artifact for name, artifact in found.items() if artifact is not None}
    summary = folder / SUMMARY
    content = json.loads(summary.read_text(encoding="utf-8")) if summary.is_file() else None
    return Run(folder, plan, artifacts, content)
