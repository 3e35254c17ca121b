"""Standard tasks: `lm-eval` on the trained weights, in a process of its own that has no network.

A task is one that lm-eval ships, whose data must be on this machine already, or a YAML file in lm-eval's form. Such a
file may name code, which lm-eval runs.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from forge.errors import StageError

OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
MAIN_METRICS = ("exact_match", "acc_norm", "acc", "f1", "bits_per_byte", "word_perplexity")
"""Which of a task's figures speaks for it, the first that it has."""


def require_lm_eval(tasks: Sequence[str]) -> None:
    """Raise StageError where there are tasks and no lm-eval, or one is a file that is not there."""
    if not tasks:
        return
    if importlib.util.find_spec("lm_eval") is None:
        raise StageError("evaluate.tasks: lm-eval is not installed: pip install 'forge-run[lm-eval]'")
    for task in tasks:
        if is_file(task) and not Path(task).is_file():
            raise StageError(f"evaluate.tasks: {task}: does not exist: name a task, or a YAML file of one")


def is_file(task: str) -> bool:
    """Return whether a task is given as a file."""
    return task.endswith((".yaml", ".yml"))


def run_tasks(
    tasks: Sequence[str], train: Path, tokenizer: Path, device: str, batch: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Return by task its figures as lm-eval names them (acc, acc_stderr, ...), `samples`, and `main`, one's name.

    Args:
        tasks: names, or paths of YAML files.
        train: folder of the weights.
        tokenizer: folder of the tokenizer.
        device: to run on.
        batch: sequences in a forward pass.
        seed: of samples of a task.

    Raises:
        StageError: lm-eval failed; its last line says why.
    """
    with tempfile.TemporaryDirectory(prefix="forge-tasks-") as scratch:
        asked = {
            "tasks": [str(Path(task).resolve()) if is_file(task) else task for task in tasks],
            "train": str(train.resolve()),
            "tokenizer": str(tokenizer.resolve()),
            "device": device,
            "batch": batch,
            "seed": seed,
            "out": str(Path(scratch) / "results.json"),
        }
        done = subprocess.run(
            [sys.executable, "-m", "forge.evaluate.task_process"],
            input=json.dumps(asked),
            env=os.environ | OFFLINE,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no word of why"])[-1]
            raise StageError(f"evaluate.tasks: lm-eval failed ({reason}): mend the task, or leave it out")
        results = json.loads((Path(scratch) / "results.json").read_text(encoding="utf-8"))
    return {task: _with_main(figures) for task, figures in results.items()}


def _with_main(figures: dict[str, Any]) -> dict[str, Any]:
    main = next((name for name in MAIN_METRICS if name in figures), None)
    return figures | {"main": main}
