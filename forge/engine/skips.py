"""run_dir/skipped.json: the steps that a training leaves out after going back, and the documents in them.

Written before the training goes back, so that whatever is killed after, the training goes on in the same way.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from forge.data.loading import TokenShard
from forge.engine.batches import sequence_order
from forge.errors import StageError
from forge.files import replace_text
from forge.plan.types import Plan

SKIPPED_FILE = "skipped.json"

WINDOW_STEPS = 5
"""A bad step and those before it, one of which may have spoilt the weights it was computed with."""

REWINDS_AT_ONE_PLACE = 3
"""After as many within `NEAR_STEPS` steps, going back does not help."""

NEAR_STEPS = 64


@dataclass(frozen=True, slots=True)
class Window:
    """Steps that are left out, both ends included, counted from 1."""

    first: int
    last: int
    reason: str


def read_windows(run_dir: Path) -> tuple[Window, ...]:
    """Return the windows of a run, oldest first.

    Raises:
        StageError: the file is damaged.
    """
    path = run_dir / SKIPPED_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return tuple(Window(w["first"], w["last"], w["reason"]) for w in content["windows"])
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError):
        raise StageError(
            f"train: {path}: is damaged: move it and the checkpoints away to start again"
        ) from None


def add_window(run_dir: Path, window: Window, documents: list[str]) -> None:
    """Write one more window and the ids of the documents in it."""
    path = run_dir / SKIPPED_FILE
    content: dict[str, Any] = {"windows": []}
    if path.exists():
        content = json.loads(path.read_text(encoding="utf-8"))
    content["windows"].append(asdict(window) | {"documents": documents})
    replace_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def window_before(step: int, bad_steps: int, windows: tuple[Window, ...], reason: str) -> Window:
    """Return what to leave out when the last `bad_steps` up to `step` were bad, `windows` being left out already."""
    first = max(step - max(WINDOW_STEPS, bad_steps) + 1, 1)
    left_out = [window.last for window in windows if window.last < step]
    return Window(max([first, *(last + 1 for last in left_out)]), step, reason)


def is_left_out(step: int, windows: tuple[Window, ...]) -> bool:
    """Return whether `step` (from 1) is left out."""
    return any(window.first <= step <= window.last for window in windows)


def going_back_helps(step: int, windows: tuple[Window, ...]) -> bool:
    """Return whether the training may go back from `step` once more."""
    near = [window for window in windows if 0 <= step - window.last <= NEAR_STEPS]
    return len(near) < REWINDS_AT_ONE_PLACE


def in_force(step: int, windows: tuple[Window, ...]) -> list[list[int]]:
    """Return the windows that bear on the weights after `step` steps, as a checkpoint names them."""
    return sorted([window.first, window.last] for window in windows if window.first <= step)


def documents_of(plan: Plan, tokens: Path, window: Window) -> list[str]:
    """Return the ids of the training documents of which the steps of `window` read a token, in corpus order."""
    import numpy as np
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    schedule = plan.schedule
    order = sequence_order(plan, TokenShard.open(tokens, "train"))
    table = pq.read_table(tokens / "documents.parquet", columns=["document_id", "split", "start", "tokens"])
    table = table.filter(pc.equal(table["split"], "train")).sort_by("start")
    starts = table["start"].to_numpy()
    ends = starts + table["tokens"].to_numpy()
    read = np.zeros(len(starts), dtype=bool)
    for step in range(window.first - 1, window.last):
        for begin in np.unique(order.batch(step)) * schedule.sequence_length:
            end = begin + schedule.sequence_length + 1
            # Documents lie one after another: those that end after `begin` and start before `end`.
            first, last = np.searchsorted(ends, begin, "right"), np.searchsorted(starts, end, "left")
            read[first:last] = True
    return [str(name) for name in table["document_id"].filter(read).to_pylist()]
