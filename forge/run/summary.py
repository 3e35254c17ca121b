"""What became of a run: summary.json, with the plan's prediction beside what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from forge.files import replace_text
from forge.plan.types import Plan
from forge.run.artifacts import Artifact

SUMMARY = "summary.json"


def summarize_run(plan: Plan, artifacts: dict[str, Artifact]) -> dict[str, Any]:
    """Return what a finished run did, found and made.

    `predicted_and_measured` holds [predicted, measured] by quantity. Training time is the time of the steps: the
    workers' start-up and the checkpoints are in `wall_clock_s` of the stage.
    """
    training = artifacts["train"].summary
    estimates = plan.estimates
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
        "predicted_and_measured": {
            "training_time_s": [estimates.training_time_s, plan.schedule.steps * training["step_time_s"]],
            "step_time_s": [estimates.step_time_s, training["step_time_s"]],
            "tokens_per_second": [estimates.tokens_per_second, training["tokens_per_second"]],
            "peak_memory_bytes": [estimates.peak_memory_bytes, training["peak_memory_bytes"]],
        },
    }


def write_summary(run_dir: Path, summary: dict[str, Any]) -> None:
    """Write summary.json into the run's folder."""
    text = json.dumps(summary, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    if not (run_dir / SUMMARY).is_file() or (run_dir / SUMMARY).read_text(encoding="utf-8") != text:
        replace_text(run_dir / SUMMARY, text)
