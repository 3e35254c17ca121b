"""How a dying worker leaves word, and how the parent tells the user what happened."""

from __future__ import annotations

import errno
import json
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from forge.errors import UserError

Kind = Literal["refused", "error", "killed"]
"""Whether a worker said that this can't be trained, raised an error of another kind, or was ended from outside."""

_REFUSALS = ("OutOfMemoryError",)
"""Errors that are there again after every new start."""

FAILURES_FILE = "failed-ranks.json"
"""{rank: exit code}, written by the launcher; a negative code is a signal."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the workers ended."""

    line: str
    """`train: ` and what happened."""
    log: Path
    """Where the details are."""
    kind: Kind


def record_failure(logs: Path, rank: int, error: BaseException) -> None:
    """Write logs/error-rank<rank>.json for the parent."""
    content = {"time": time.time(), "kind": _kind(error), "message": failure_line(rank, error)}
    temporary = logs / f".error-rank{rank}.json"
    temporary.write_text(json.dumps(content), encoding="utf-8")
    temporary.replace(logs / f"error-rank{rank}.json")


def failure_line(rank: int, error: BaseException) -> str:
    """Return one line for `error`: what it is and, where there is one, the remedy."""
    if isinstance(error, UserError):
        return "; ".join(error.lines)
    first = next(iter(str(error).strip().splitlines()), "no message")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"train: rank {rank} found the disk full ({error.filename or first}): free some space"
    if type(error).__name__ == "OutOfMemoryError":
        return (
            f"train: rank {rank} ran out of GPU memory ({first}): lower engine.micro_batch_sequences or set "
            "engine.activation_checkpointing=full"
        )
    return f"train: rank {rank} failed: {type(error).__name__}: {first}"


def clear_failures(logs: Path) -> None:
    """Remove what an earlier attempt left."""
    for path in [*logs.glob("error-rank*.json"), logs / FAILURES_FILE]:
        path.unlink(missing_ok=True)


def first_failure(logs: Path) -> Failure:
    """Return what explains why the workers died.

    A worker killed by a signal explains the errors of the others, who only lost a peer; SIGTERM is how torchrun ends
    those. Otherwise the earliest error counts.
    """
    failed = _read(logs / FAILURES_FILE)
    for rank, code in sorted(failed.items()):
        if code < 0 and code != -signal.SIGTERM:
            hint = " (out of memory?)" if code == -signal.SIGKILL else ""
            line = f"train: rank {rank} was killed by signal {-code}{hint}"
            return Failure(line, rank_log(logs, int(rank)), "killed")
    errors = []
    for path in logs.glob("error-rank*.json"):
        if content := _read(path):
            error_rank = int(path.stem.removeprefix("error-rank"))
            errors.append((content["time"], content["message"], error_rank, content["kind"]))
    if errors:
        _, message, error_rank, kind = min(errors)
        return Failure(message, rank_log(logs, error_rank), kind)
    for rank, code in sorted(failed.items()):
        line = f"train: rank {rank} ended with exit status {code}"
        return Failure(line, rank_log(logs, int(rank)), "error")
    return Failure("train: the launcher of the workers ended too early", launcher_log(logs), "killed")


def rank_log(logs: Path, rank: int) -> Path:
    """Return where a worker's output goes."""
    return logs / f"rank{rank}.log"


def launcher_log(logs: Path) -> Path:
    """Return where torchrun's own output goes, and a worker's before it has opened its log."""
    return logs / "launcher.log"


def _kind(error: BaseException) -> Kind:
    full = isinstance(error, OSError) and error.errno == errno.ENOSPC
    if isinstance(error, UserError) or full or type(error).__name__ in _REFUSALS:
        return "refused"
    # Torch's own kinds of a lost connection, and gloo's, which has none.
    lost = type(error).__name__.startswith("Dist") or "onnection" in str(error)
    return "killed" if lost else "error"


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
