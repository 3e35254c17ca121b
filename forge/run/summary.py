"""What became of a run: summary.json, with the plan's prediction beside what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from forge.files import replace_text
from forge.plan.types import Plan
from forge.run.artifacts import Artifact
from forge.run.measured import predicted_and_measured

SUMMARY = "summary.json"


def summarize_run(plan: Plan, artifacts: dict[str, Artifact]) -> dict[str, Any]:
    """Return what a finished run did, found and made.

    `predicted_and_measured` is as in `forge.run.measured`.
    """
    training = artifacts["train"].summary
    return {
        "plan_id": plan.id,
        "name": plan.name,
        "forge_version": plan.forge_version,
        "stages": {
            name: {"folder": artifact.folder.name, "wall_clock_s": artifact.wall_clock_s}
            for name, artifact in artifacts.items()
        },
        "data": {name: artifacts[name].summary for name in ("lake", "corpus", "tokenizer", "tokens")},
        "training": training,
        "evaluation": artifacts["evaluate"].summary,
        "export": artifacts["export"].summary,
        "predicted_and_measured": predicted_and_measured(plan, training),
    }


def write_summary(run_dir: Path, summary: dict[str, Any]) -> None:
    """Write summary.json into the run's folder."""
    text = json.dumps(summary, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    if not (run_dir / SUMMARY).is_file() or (run_dir / SUMMARY).read_text(encoding="utf-8") != text:
        replace_text(run_dir / SUMMARY, text)
