"""A sweep killed at random points, its parent alone or with all its runs, ends with the table of an undisturbed one."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.run.small import command, forge_run, write_documents

SWEEP = ("-m", "train.learning_rate=1e-3,2e-3,4e-3", "train.steps=12", "train.checkpoint_every_steps=3")
KILLS = 10
MEASURED = ("training_s", "device_hours", "cost_usd")


def table(output_dir: Path) -> dict[str, Any]:
    """Return what a sweep found, without what its runs took."""
    (record,) = (output_dir / "sweeps").glob("*/sweep.json")
    content: dict[str, Any] = json.loads(record.read_text())
    for row in content["runs"]:
        for name in MEASURED:
            del row[name]
        row["overrides"] = [each for each in row["overrides"] if not each.startswith("output_dir=")]
    return content


def events(output_dir: Path) -> int:
    """Return how much runs have said: how far they are, however fast the machine is."""
    return sum(file.read_bytes().count(b"\n") for file in output_dir.glob("runs/*/events.jsonl"))


def children(output_dir: Path) -> list[int]:
    """Return the processes of the runs of a sweep."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"forge.run.sweep.child" in words and str(output_dir).encode() in words:
                found.append(int(folder.name))
    return found


@pytest.mark.soak
def test_killed_ten_times_it_ends_with_the_same_table(tmp_path: Path) -> None:
    documents = write_documents(tmp_path / "documents")
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    first = forge_run(documents, undisturbed, *SWEEP)
    assert first.returncode == 0, first.stderr
    whole = events(undisturbed)

    chance = random.Random(7)
    alone = 0
    for _ in range(KILLS):
        until = events(killed) + chance.randint(0, whole // KILLS)
        with (tmp_path / "said").open("ab") as said:
            parent = subprocess.Popen(command(documents, killed, *SWEEP), stdout=said, stderr=said)
        while parent.poll() is None and events(killed) <= until:
            time.sleep(0.02)
        spares_runs = chance.random() < 0.5
        alone += spares_runs
        parent.kill()
        parent.wait()
        if not spares_runs:
            for pid in children(killed):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
    assert 0 < alone < KILLS

    last = forge_run(documents, killed, *SWEEP)
    assert last.returncode == 0, last.stderr
    assert table(killed) == table(undisturbed)
    assert [row["status"] for row in table(killed)["runs"]] == ["done"] * 3
    assert not children(killed)
    assert not list((killed / "artifacts").glob(".tmp-*"))
