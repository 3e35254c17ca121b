"""`python -m forge.run.sweep.child`: carry out one plan, in a process of its own that outlives who started it.

How it ended is left in the run's folder, result.json: {"status": done, failed or stopped, "lines": [...]}. So the
forge-run that is there by then, which may not be the one that started it, knows.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from forge.errors import Interrupted, UserError
from forge.files import replace_text
from forge.run.interrupts import listen

RESULT = "result.json"
BUSY_STATUS = 75
"""EX_TEMPFAIL of sysexits.h: another process carries out the run."""


def main() -> int:
    """Carry out the plan and return the exit status that `forge-run` would have."""
    parser = argparse.ArgumentParser(prog="python -m forge.run.sweep.child", description=__doc__)
    parser.add_argument("--plan", type=Path, required=True, help="plan.json, in the folder of its run")
    parser.add_argument("--output-dir", type=Path, required=True, help="where runs/ and artifacts/ are")
    parser.add_argument("--source-hashes", type=Path, help="cache of the hashes of the user's files")
    parser.add_argument("--hostfile", type=Path, help="machines of a run over several")
    parser.add_argument("--remote-shell", default="ssh", help="runs a command on another machine")
    arguments = parser.parse_args()
    listen()
    from forge.run.run import RunBusy

    run_dir = arguments.plan.parent
    try:
        _carry_out(arguments)
    except RunBusy:
        return BUSY_STATUS
    except Interrupted as stopped:
        return _end(run_dir, "stopped", stopped.lines, stopped.exit_code)
    except UserError as error:
        return _end(run_dir, "failed", error.lines, error.exit_code)
    except KeyboardInterrupt:
        return _end(run_dir, "stopped", ("stopped: the same command goes on",), 143)
    except Exception as error:
        with contextlib.suppress(OSError):
            traceback.print_exc()
        said = next(iter(str(error).splitlines()), "no message")
        return _end(run_dir, "failed", (f"a fault in forge: {type(error).__name__}: {said}",), 1)
    return _end(run_dir, "done", (), 0)


def _carry_out(arguments: argparse.Namespace) -> None:
    from forge.engine.hosts import read_cluster
    from forge.plan.types import load_plan
    from forge.run.display import make_display
    from forge.run.run import run_plan

    cluster = None if arguments.hostfile is None else read_cluster(arguments.hostfile, arguments.remote_shell)
    display = make_display(sys.stderr, quiet=False, verbose=True)
    plan = load_plan(arguments.plan)
    run_plan(plan, arguments.output_dir, display, arguments.source_hashes, cluster=cluster)


def _end(run_dir: Path, status: str, lines: tuple[str, ...], exit_status: int) -> int:
    said = list(lines)
    try:
        content = {"status": status, "lines": list(lines)}
        replace_text(run_dir / RESULT, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        said.append(f"{run_dir / RESULT}: cannot be written ({os.strerror(error.errno or 0)})")
    with contextlib.suppress(OSError):  # where the disk is full there is no room for the log either
        print(*said, sep="\n", end="\n" if said else "", file=sys.stderr, flush=True)
    return exit_status


def read_result(run_dir: Path) -> dict[str, Any] | None:
    """Return what the last process of a run left, None where it left nothing."""
    try:
        content = json.loads((run_dir / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and "status" in content else None


if __name__ == "__main__":
    sys.exit(main())
