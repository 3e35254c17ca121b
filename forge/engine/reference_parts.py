"""How far a reference stage is: its journals, read by the parent too; imports nothing heavy."""

from __future__ import annotations

import json
from pathlib import Path

from forge.files import WORK_FOLDER


def part_of(out: Path, split: str) -> Path:
    """Return where the finished pairs of a split are."""
    return out / WORK_FOLDER / f"{split}.pairs"


def sequences_done(out: Path) -> int:
    """Return how many sequences the journals below `out` say are done."""
    done = 0
    for journal in (out / WORK_FOLDER).glob("*.pairs.journal"):
        for line in reversed(journal.read_bytes().splitlines()):
            try:
                done += json.loads(line)["note"]
                break
            except (ValueError, KeyError, TypeError):  # torn by a kill
                continue
    return done
