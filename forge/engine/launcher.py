"""The process between `forge-run` and the workers: torchrun, tied to its parent, leaving word of who failed."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import ModuleType

from forge.engine.interfaces import interface_towards
from forge.engine.stopping import STOP_SIGNALS

PARENT_VARIABLE = "FORGE_PARENT_PID"
FAILURES_VARIABLE = "FORGE_FAILURES_FILE"
MASTER_VARIABLE = "FORGE_MASTER_HOST"
"""The first machine of several."""


def main() -> int:
    """Run torchrun on the command line; when workers fail, write {rank: exit code} to FAILURES_VARIABLE's file."""
    from forge.engine.tether import die_with_input, die_with_parent

    if PARENT_VARIABLE in os.environ:
        die_with_parent(int(os.environ[PARENT_VARIABLE]))
    else:
        die_with_input()
    if MASTER_VARIABLE in os.environ:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", interface_towards(os.environ[MASTER_VARIABLE]))
    os.environ[PARENT_VARIABLE] = str(os.getpid())  # the workers' parent

    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        run.main([*_deaf_to_stop_signals(run), *sys.argv[1:]])
    except ChildFailedError as error:
        codes = {str(rank): failure.exitcode for rank, failure in error.failures.items()}
        Path(os.environ[FAILURES_VARIABLE]).write_text(json.dumps(codes), encoding="utf-8")
        return 1
    return 0


def _deaf_to_stop_signals(run: ModuleType) -> list[str]:
    """Ignore what asks a job to stop, and return torchrun's options for that.

    A scheduler may signal every process of a job. The workers then write a checkpoint and end, which torchrun must
    wait for. The parent ends this process, on Linux, by a signal that can't be ignored.
    """
    if sys.platform != "linux":
        return []
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    os.environ["TORCHELASTIC_SIGNALS_TO_HANDLE"] = "SIGINT"
    option = "--signals-to-handle"  # where torchrun has it, its default overrides the variable
    return [f"{option}=SIGINT"] if option in run.get_args_parser().format_usage() else []


if __name__ == "__main__":
    sys.exit(main())
