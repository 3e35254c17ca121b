"""The whole path on a folder of a hundred small documents: what `forge-run` does, in half a minute."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.data.builders import prose, write_folder

OVERRIDES = [
    "hardware=cpu",
    "hardware.threads_per_process=1",
    "tokenizer.vocab_size=320",
    "model=llama_3m",
    "model.layers=1",
    "model.hidden_size=32",
    "model.attention_heads=2",
    "model.kv_heads=1",
    "model.intermediate_size=64",
    "train.steps=40",
    "train.global_batch_tokens=256",
    "train.sequence_length=32",
    "train.log_every_steps=1",
    "train.checkpoint_every_steps=10",
    "evaluate.sample_tokens=4",
    "name=small",
]


def write_documents(folder: Path) -> Path:
    """Write documents of several formats, two near-duplicates and a broken one; return the folder."""
    files: dict[str, str | bytes] = {f"{seed:03}.txt": prose(seed, 80) for seed in range(60)}
    files |= {f"notes/{seed:03}.md": f"# Note {seed}\n\n{prose(seed, 80)}\n" for seed in range(100, 120)}
    files |= {"copy.txt": prose(3, 80) + " and a little more"}
    files |= {"rows.jsonl": "".join(json.dumps({"text": prose(seed, 80)}) + "\n" for seed in range(200, 215))}
    files |= {
        "page.html": f"<html><body><p>{prose(300, 80)}</p></body></html>",
        "broken.txt": b"\x00\x01\x02",
    }
    return write_folder(folder, files)


def command(documents: Path, output_dir: Path, *more: str) -> list[str]:
    """Return the command line of a small run."""
    return [
        *(
            sys.executable,
            "-m",
            "forge.cli.main",
            "run",
            f"data.path={documents}",
            f"output_dir={output_dir}",
        ),
        *OVERRIDES,
        *more,
    ]


def forge_run(documents: Path, output_dir: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Carry out a small run."""
    return subprocess.run(command(documents, output_dir, *more), capture_output=True, text=True)


def outcome(output_dir: Path) -> dict[str, Any]:
    """Return what must be the same however often a run was interrupted: checksums, evaluation, losses."""
    (run_dir,) = (output_dir / "runs").iterdir()
    summary = json.loads((run_dir / "summary.json").read_text())
    return {
        "sha256": summary["export"]["sha256"],
        "evaluation": summary["evaluation"],
        "data": summary["data"],
        "final_loss": summary["training"]["final_loss"],
        "folders": {name: stage["folder"] for name, stage in summary["stages"].items()},
    }
