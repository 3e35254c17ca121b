"""A proof in a fresh process, which has seen nothing of the export."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import forge
from forge.errors import StageError


def prove_hf(train: Path, tokenizer: Path, hf: Path) -> dict[str, Any]:
    """Return the figures of `forge.export.verify`; StageError as `_prove`."""
    return _prove("forge.export.verify", "folder", {"train": train, "tokenizer": tokenizer, "hf": hf})


def prove_gguf(train: Path, tokenizer: Path, tokens: Path, f32: Path, folder: Path) -> dict[str, Any]:
    """Return the figures of `forge.export.verify_gguf`; StageError as `_prove`."""
    paths = {"train": train, "tokenizer": tokenizer, "tokens": tokens, "f32": f32, "gguf": folder}
    return _prove("forge.export.verify_gguf", "GGUF file", paths)


def _prove(module: str, what: str, paths: dict[str, Path]) -> dict[str, Any]:
    """Run `module` in a fresh process and return its figures.

    Raises:
        StageError: what was written differs from what was trained, or cannot be loaded.
    """
    source = str(Path(forge.__file__).resolve().parent.parent)
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")])),
    }
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        # -P: a json.py where the user happens to stand must not be imported.
        command = [sys.executable, "-P", "-m", module]
        for name, path in (paths | {"report": report}).items():
            command += [f"--{name}", str(path.resolve())]
        finished = subprocess.run(
            command, env=environment, capture_output=True, text=True, errors="replace", check=False
        )
        if not report.exists():
            last = (finished.stderr.strip().splitlines() or [f"exit status {finished.returncode}"])[-1]
            raise StageError(f"export: the written {what} cannot be checked: {last}: nothing was published")
        figures: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    if "mismatch" in figures:
        raise StageError(
            f"export: the written {what} is not the trained model: {figures['mismatch']}: nothing was published"
        )
    return figures
