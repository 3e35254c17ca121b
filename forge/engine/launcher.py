"""The process between `forge-run` and the workers: torchrun, tied to its parent, leaving word of who failed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

PARENT_VARIABLE = "FORGE_PARENT_PID"
FAILURES_VARIABLE = "FORGE_FAILURES_FILE"


def main() -> int:
    """Run torchrun on the command line; when workers fail, write {rank: exit code} to FAILURES_VARIABLE's file."""
    from forge.engine.tether import die_with_parent

    die_with_parent(int(os.environ[PARENT_VARIABLE]))
    os.environ[PARENT_VARIABLE] = str(os.getpid())  # the workers' parent

    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        run.main(sys.argv[1:])
    except ChildFailedError as error:
        codes = {str(rank): failure.exitcode for rank, failure in error.failures.items()}
        Path(os.environ[FAILURES_VARIABLE]).write_text(json.dumps(codes), encoding="utf-8")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
