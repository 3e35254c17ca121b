"""Runs command lines of forge in a process of its own and reports what Python did meanwhile.

Reads jobs from standard input as JSON, writes one report each to standard output. The audit hook sees every file
that is opened, every module imported, process started, connection made and line of source compiled, by whomever.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

HARMLESS = {
    "builtins.id",
    "object.__getattr__",
    "object.__setattr__",
    "os.listdir",
    "os.scandir",
    "pathlib.Path.glob",
    "sys._getframe",
}
OF_TYPER = {"compile", "exec", "os.putenv", "os.unsetenv"}
"""What typer does to read the signatures of forge's own commands."""
FOREIGN = ("acme_recipes", "hydra_plugins")
MEMORY_LIMIT_BYTES = 2 * 1024**3
CPU_LIMIT_S = 5.0
"""Of one command line, a limit as that of memory is one: whatever reaches it ends, and is no clean line."""

events: list[str] = []
opened: list[str] = []
watching = False


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Keep what happens while a command is carried out."""
    if not watching or event in HARMLESS:
        return
    if event in OF_TYPER and _is_typer():
        return
    if event == "open":
        path, mode, flags = arguments
        opened.append(str(Path(str(path)).absolute()))
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC) if isinstance(flags, int) else 0
        if writes or (isinstance(mode, str) and set(mode) & set("wax+")):
            events.append(f"open for writing: {path}")
    else:
        events.append(f"{event}: {arguments!r:.200}")


def _is_typer() -> bool:
    """True where typer, and no function of forge that it has called, is what does it."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        room = str(frame.f_globals.get("__name__")).partition(".")[0]
        if room in ("typer", "forge"):
            return room == "typer"
        frame = frame.f_back
    return False


def _ran_too_long(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"more than {CPU_LIMIT_S} s of CPU time")


def command(words: list[str]) -> dict[str, Any]:
    """Carry out `forge WORDS` and report how that ended."""
    global watching
    from forge.cli.main import main

    events.clear()
    opened.clear()
    sys.argv = ["forge", *words]
    out, err = io.StringIO(), io.StringIO()
    status: Any = None
    signal.setitimer(signal.ITIMER_PROF, CPU_LIMIT_S)
    started_s = sum(os.times()[:2])
    watching = True
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as ending:
        status = ending.code
    finally:
        watching = False
        signal.setitimer(signal.ITIMER_PROF, 0)
    return {
        "status": status,
        "out": out.getvalue(),
        "err": err.getvalue(),
        "cpu_s": sum(os.times()[:2]) - started_s,
        "events": list(events),
        "opened": list(opened),
        "foreign_modules": [name for name in sys.modules if name.split(".")[0] in FOREIGN],
    }


def main() -> None:
    """Run the jobs of standard input."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    signal.signal(signal.SIGPROF, _ran_too_long)
    jobs = json.load(sys.stdin)
    # What is loaded late is loaded now, and so is what looks for packs, reads a signature or prints a table.
    for words in (
        ["plan", "--spec"],
        ["plan", "--spec", "recipe=acme/x"],
        ["plan", "--why", "train"],
        ["recipe", "list"],
    ):
        command(words)
    sys.addaudithook(watch)
    for job in jobs:
        os.chdir(job["folder"])
        print(json.dumps(command(job["command"])), flush=True)


if __name__ == "__main__":
    main()
