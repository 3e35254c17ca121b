"""Evaluations of runs: where a run's own is, and which run came before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from forge.errors import SpecError, StageError
from forge.plan.types import Plan, load_plan
from forge.run.artifacts import Artifact, find_artifact


def plan_of(run_dir: Path) -> Plan:
    """Return the plan of a run. Raises SpecError where the folder is none."""
    if not (run_dir / "plan.json").is_file():
        raise SpecError(f"{run_dir}: is no folder of a run (it has no plan.json): name one below runs/")
    return load_plan(run_dir / "plan.json")


def artifacts_root(run_dir: Path) -> Path:
    """Return the folder of all artifacts that a run's are in."""
    return run_dir.resolve().parent.parent / "artifacts"


def evaluation_of(run_dir: Path) -> Artifact:
    """Return the evaluation of a run.

    Raises:
        SpecError: the folder is no run.
        StageError: it is not evaluated yet, or was by a forge that did not measure what this one does.
    """
    found = find_artifact(artifacts_root(run_dir), plan_of(run_dir).stage("evaluate"))
    if found is None:
        raise StageError(f"{run_dir}: is not evaluated yet: give its forge-run command again")
    if "contamination" not in found.summary:
        raise StageError(f"{run_dir}: was evaluated by an older forge: give its forge-run command again")
    return found


def previous_run(run_dir: Path) -> Path | None:
    """Return the folder of the last run of the same name before this one that was evaluated; None where there is none.

    A run's age is that of its plan.json.
    """
    plan, own = plan_of(run_dir), (run_dir / "plan.json").stat().st_mtime_ns
    earlier: list[tuple[int, Path]] = []
    for path in run_dir.resolve().parent.glob(f"{plan.name}-*/plan.json"):
        made = path.stat().st_mtime_ns
        if made < own and path.parent != run_dir.resolve():
            earlier.append((made, path.parent))
    for _, folder in sorted(earlier, reverse=True):
        try:
            if load_plan(folder / "plan.json").name == plan.name:
                evaluation_of(folder)
                return folder
        except (SpecError, StageError):
            continue
    return None


def compare_runs(first: Path, second: Path) -> dict[str, Any]:
    """Return what the second run has better and worse than the first, as `forge.evaluate.compare` finds it.

    Raises:
        SpecError: a folder is no run.
        StageError: a run is not evaluated yet, or was by a forge that did not measure what this one does.
    """
    from forge.evaluate.compare import compare_evaluations

    return compare_evaluations(*(evaluation_of(run).folder for run in (first, second)))
