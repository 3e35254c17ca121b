"""A proof in a fresh process, which has seen nothing of the export: starting it, and what it does when started."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import forge
from forge.errors import StageError
from forge.export.mismatch import Mismatch


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


def main_of(verify: Callable[..., dict[str, Any]], description: str | None, paths: Mapping[str, str]) -> int:
    """Run a proof on the folders and files that the command line names, write --report, and return the exit status.

    0: proven, the report holds the figures. 1: it holds `mismatch`, one line.

    Args:
        verify: takes the paths in order.
        description: of the module.
        paths: name of each option -> what it names.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, meaning in (*paths.items(), ("report", "JSON file to write")):
        parser.add_argument(f"--{name}", type=Path, required=True, help=meaning)
    given = vars(parser.parse_args())
    try:
        report = verify(*(given[name] for name in paths))
    except Mismatch as mismatch:
        report = {"mismatch": str(mismatch)}
    given["report"].write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return 1 if "mismatch" in report else 0
