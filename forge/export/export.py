"""The export stage: a folder that plain transformers loads, and the proof that it is the trained model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import safetensors

import forge
from forge.errors import StageError
from forge.export.checksums import write_checksums
from forge.export.expressible import name_pre_tokenizer, refuse_inexpressible
from forge.export.hf_folder import open_to_readers, write_hf_folder, write_json
from forge.export.model_card import model_card
from forge.plan.types import Plan
from forge.progress import Progress

FOLDER = "hf"
ADAPTER = "adapter"


def export_model(
    plan: Plan, train: Path, tokenizer: Path, evaluation: Path, out: Path, progress: Progress
) -> dict[str, Any]:
    """Write `out`/hf and `out`/export.json, prove that they agree with `train`, and return export.json's content.

    Where adapters were trained, hf has them merged and `out`/adapter has them as peft reads them.

    Raises:
        StageError: the model or tokenizer cannot be expressed (nothing is written), or the proof failed (the caller
            must throw `out` away).
    """
    dtype = plan.stage("export").parameters["dtype"]
    refuse_inexpressible(plan, _read(train / "config.json"))
    pre_tokenizer = name_pre_tokenizer(_read(tokenizer / "tokenizer.json"), plan.model.vocab_size)
    card = model_card(plan, dtype, _read(evaluation / "evaluation.json"))

    folder = out / FOLDER
    progress.start(3, "steps")
    progress.note(f"writing {dtype} weights")
    write_hf_folder(plan.model, dtype, train, tokenizer, folder)
    (folder / "README.md").write_text(card, encoding="utf-8")
    if (train / ADAPTER).is_dir():  # what of the merged weights was learnt
        shutil.copytree(train / ADAPTER, out / ADAPTER)
    progress.advance()
    progress.note("comparing the folder with the trained model in a fresh process")
    proof = prove(train, tokenizer, folder)
    versions = proof.pop("versions") | {"safetensors": safetensors.__version__}
    progress.advance()
    sums = write_checksums(folder)
    open_to_readers(folder)
    progress.advance()

    result = {
        "plan_id": plan.id,
        "name": plan.name,
        "forge_version": forge.__version__,
        "format": FOLDER,
        "dtype": dtype,
        "pre_tokenizer": pre_tokenizer,
        "bytes": sum(path.stat().st_size for path in folder.iterdir()),
        "sha256": sums,
        "proof": proof,
        "versions": versions,
    }
    write_json(out / "export.json", result)
    return result


def prove(train: Path, tokenizer: Path, hf: Path) -> dict[str, Any]:
    """Run `forge.export.verify` in a fresh process and return its figures.

    Raises:
        StageError: the folder differs from what was trained, or cannot be loaded.
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
        command = [sys.executable, "-P", "-m", "forge.export.verify"]
        for name, path in (("train", train), ("tokenizer", tokenizer), ("hf", hf), ("report", report)):
            command += [f"--{name}", str(path.resolve())]
        finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if not report.exists():
            last = (finished.stderr.strip().splitlines() or [f"exit status {finished.returncode}"])[-1]
            raise StageError(f"export: the written folder cannot be checked: {last}: nothing was published")
        figures = _read(report)
    if "mismatch" in figures:
        raise StageError(
            f"export: the written folder is not the trained model: {figures['mismatch']}: nothing was published"
        )
    return figures


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
