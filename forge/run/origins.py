"""Who set each value of a run's spec: origins.json, beside its plan."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from forge.files import replace_text

ORIGINS = "origins.json"

Chains = dict[str, list[dict[str, Any]]]
"""By dotted key, the places that set it, in force first: `where` and `value`."""


def record_origins(run_dir: Path, text: str) -> None:
    """Keep the places of the command line that begins a run; one that goes on with it changes nothing.

    A disk that refuses is the run's own to speak of, as it begins.
    """
    with contextlib.suppress(OSError):
        if not (run_dir / ORIGINS).exists():
            run_dir.mkdir(parents=True, exist_ok=True)
            replace_text(run_dir / ORIGINS, text)


def read_origins(run_dir: Path) -> Chains | None:
    """Return them; None where they were not kept: the run carries out a reviewed plan, or is of an older forge."""
    try:
        content: Chains = json.loads((run_dir / ORIGINS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content
