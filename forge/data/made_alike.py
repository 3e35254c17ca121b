"""Earlier artifacts of a kind that were made in the same way: each has a small file that says in which."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path


def made_alike(folders: Iterable[Path], name: str, how: str) -> list[Path]:
    """Return those of some artifacts whose file `name` says `how`, the newest first."""
    dated = []
    for folder in folders:
        try:
            if json.loads((folder / name).read_text(encoding="utf-8")) == how:
                dated.append(((folder / name).stat().st_mtime_ns, folder))
        except (OSError, ValueError):
            continue
    return [folder for _, folder in sorted(dated, reverse=True)]
