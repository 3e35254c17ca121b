"""The process that lm-eval runs in: `forge.evaluate.tasks` starts it and reads what it writes."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Run the tasks that standard input asks for and write their figures to the file it names."""
    asked = json.load(sys.stdin)
    # Only here: nothing else of forge needs it.
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    files = [Path(task) for task in asked["tasks"] if task.endswith((".yaml", ".yml"))]
    folders = sorted({str(file.parent) for file in files})
    manager = TaskManager(include_path=folders or None, include_defaults=len(files) < len(asked["tasks"]))
    model = HFLM(
        pretrained=asked["train"],
        tokenizer=asked["tokenizer"],
        device=asked["device"],
        batch_size=asked["batch"],
        dtype="auto",
    )
    names = [_name(Path(task)) if Path(task) in files else task for task in asked["tasks"]]
    found = lm_eval.simple_evaluate(
        model=model, tasks=names, task_manager=manager, random_seed=asked["seed"], bootstrap_iters=1000
    )
    if found is None:
        raise SystemExit("no result")
    results = {
        task: _plain(figures) | {"samples": found["n-samples"].get(task, {}).get("effective")}
        for task, figures in found["results"].items()
    }
    Path(asked["out"]).write_text(json.dumps(results, allow_nan=False), encoding="utf-8")


def _name(file: Path) -> str:
    """Return the name that a task's file gives it."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("task:"):
            return line.removeprefix("task:").split("#")[0].strip().strip("'\"")
    raise SystemExit(f"{file}: has no line `task: NAME`")


def _plain(figures: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of a task without the filter in their names: {'acc,none': numpy 0.5} is {'acc': 0.5}."""
    found: dict[str, float] = {}
    for name, value in figures.items():
        if not isinstance(value, str) and hasattr(value, "__float__") and math.isfinite(float(value)):
            found.setdefault(name.split(",")[0], float(value))
    return found


if __name__ == "__main__":
    main()
