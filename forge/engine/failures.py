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


@dataclass(frozen=True, slots=True)
class _Known:
    """A failure whose cause is known by what the error is or says."""

    what: str
    remedy: str
    kind: Kind
    errnos: tuple[int, ...] = ()
    """Of an OSError."""
    classes: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    """Any of them in the message, in lower case."""


_KNOWN = (
    _Known(
        "ran out of GPU memory",
        "lower engine.micro_batch_sequences or set engine.activation_checkpointing=full",
        "refused",
        classes=("OutOfMemoryError",),
    ),
    _Known(
        "found shared memory too small",
        "enlarge /dev/shm: a container wants --shm-size=8g or --ipc=host",
        "refused",
        words=("shared memory", "/dev/shm"),
    ),
    _Known("found the disk full", "free some space", "refused", errnos=(errno.ENOSPC, errno.EDQUOT)),
    _Known(
        "may not write",
        "set output_dir to a folder you may write to",
        "refused",
        errnos=(errno.EACCES, errno.EPERM, errno.EROFS),
    ),
    _Known(
        "found its port in use by another program",
        "a new start takes another port; where MASTER_PORT is set, unset it",
        "killed",
        errnos=(errno.EADDRINUSE,),
        words=("eaddrinuse", "address already in use"),
    ),
    _Known(
        "lost its connection to another worker",
        "a worker or a machine went away, or the network failed",
        "killed",
        errnos=(errno.ECONNRESET, errno.ECONNREFUSED, errno.EPIPE),
        words=("connection closed by peer", "connection reset by peer", "connection refused", "broken pipe"),
    ),
)
"""The first that fits counts. Shared memory comes before disks: it is one, and runs full like one."""

_SIGNAL_HINTS = {
    signal.SIGKILL: " (out of memory?)",
    # What a process gets that writes to memory which a full /dev/shm can't back.
    signal.SIGBUS: " (shared memory too small? enlarge /dev/shm: a container wants --shm-size=8g or --ipc=host)",
}

FAILURES_FILES = "failed-ranks-node*.json"
"""{rank: exit code}, written by the launcher of a machine; a negative code is a signal."""


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
    if known := _known(error):
        return f"train: rank {rank} {known.what} ({_detail(error, first)}): {known.remedy}"
    return f"train: rank {rank} failed: {type(error).__name__}: {first}"


def clear_failures(logs: Path) -> None:
    """Remove what an earlier attempt left."""
    for path in [*logs.glob("error-rank*.json"), *logs.glob(FAILURES_FILES)]:
        path.unlink(missing_ok=True)


def first_failure(logs: Path) -> Failure:
    """Return what explains why the workers died.

    A worker killed by a signal explains the errors of the others, who only lost a peer; SIGTERM is how torchrun ends
    those. Otherwise the earliest error counts.
    """
    failed = {int(rank): code for path in logs.glob(FAILURES_FILES) for rank, code in _read(path).items()}
    for rank, code in sorted(failed.items()):
        if code < 0 and code != -signal.SIGTERM:
            hint = _SIGNAL_HINTS.get(-code, "")
            line = f"train: rank {rank} was killed by signal {-code}{hint}"
            return Failure(line, rank_log(logs, rank), "killed")
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
        return Failure(line, rank_log(logs, rank), "error")
    return Failure("train: the launcher of the workers ended too early", launcher_log(logs), "killed")


def rank_log(logs: Path, rank: int) -> Path:
    """Return where a worker's output goes."""
    return logs / f"rank{rank}.log"


def failures_file(logs: Path, node: int) -> Path:
    """Return where the launcher of machine `node` writes who failed."""
    return logs / FAILURES_FILES.replace("*", str(node))


def launcher_log(logs: Path, node: int = 0) -> Path:
    """Return where torchrun's own output on machine `node` goes, and a worker's before it has opened its log."""
    return logs / ("launcher.log" if node == 0 else f"launcher-node{node}.log")


def _known(error: BaseException) -> _Known | None:
    number = error.errno if isinstance(error, OSError) else None
    said = str(error).lower()
    for known in _KNOWN:
        if (
            number in known.errnos
            or type(error).__name__ in known.classes
            or any(words in said for words in known.words)
        ):
            return known
    return None


def _detail(error: BaseException, first: str) -> str:
    """Return what the error adds to what is known: the file it is about, or its own words."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return first


def _kind(error: BaseException) -> Kind:
    if isinstance(error, UserError):
        return "refused"
    if known := _known(error):
        return known.kind
    # Torch's own kinds of a lost connection, and gloo's, which has none.
    lost = type(error).__name__.startswith("Dist") or "onnection" in str(error)
    return "killed" if lost else "error"


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
