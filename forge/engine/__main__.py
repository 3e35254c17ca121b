"""`python -m forge.engine`: one training worker, started by torchrun."""

from __future__ import annotations

import argparse
import faulthandler
import os
import sys
import time
import traceback
from pathlib import Path

from forge.engine.failures import rank_log, record_failure
from forge.engine.heartbeat import STACKS_SIGNAL, Heartbeat
from forge.engine.launcher import PARENT_VARIABLE
from forge.engine.stopping import StopRequest
from forge.engine.tether import die_with_parent

LAUNCHED_VARIABLE = "FORGE_LAUNCHED_AT_S"
LOCK_PATIENCE_S = 10.0


def main() -> int:
    """Train, or refer, and return the exit status; what goes wrong is left in the run's logs."""
    parser = argparse.ArgumentParser(prog="python -m forge.engine", description=__doc__)
    parser.add_argument("--plan", type=Path, required=True, help="plan.json")
    parser.add_argument("--tokens", type=Path, required=True, help="the tokens artifact")
    parser.add_argument("--run-dir", type=Path, required=True, help="run folder: events, checkpoints, logs")
    parser.add_argument("--out", type=Path, required=True, help="folder for the trained model")
    parser.add_argument("--stage", choices=("train", "reference"), default="train", help="what to do")
    parser.add_argument("--reference", type=Path, help="the reference artifact, where preferences are learnt")
    arguments = parser.parse_args()
    if PARENT_VARIABLE in os.environ:
        die_with_parent(int(os.environ[PARENT_VARIABLE]))
    rank = int(os.environ["RANK"])
    logs = arguments.run_dir / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    _redirect_output(rank_log(logs, rank))
    faulthandler.register(STACKS_SIGNAL, all_threads=True)  # into the log
    stop = StopRequest(arguments.run_dir)
    stop.listen()
    heartbeat = Heartbeat(logs, rank)
    try:
        _work(arguments, rank, stop, heartbeat)
    except Exception as error:
        record_failure(logs, rank, error)
        traceback.print_exc()
        return 1
    return 0


def _work(arguments: argparse.Namespace, rank: int, stop: StopRequest, heartbeat: Heartbeat) -> None:
    from forge.engine.lock import hold_run_lock

    lock = hold_run_lock(arguments.run_dir, LOCK_PATIENCE_S) if rank == 0 else None
    from forge.engine import distributed, reference, worker
    from forge.plan.types import load_plan

    plan = load_plan(arguments.plan)
    launched_at_s = float(os.environ.get(LAUNCHED_VARIABLE, time.time()))
    place = distributed.join(plan.layout)
    around = worker.Surroundings(
        arguments.run_dir,
        arguments.out,
        lambda: time.time() - launched_at_s,
        stop,
        heartbeat,
        arguments.reference,
    )
    do = reference.refer if arguments.stage == "reference" else worker.work
    do(plan, arguments.tokens, around, place)
    distributed.leave()
    if lock is not None:
        lock.close()


def _redirect_output(log: Path) -> None:
    """Send this process's output, and that of the libraries below Python, to `log`."""
    file = log.open("a")
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(file.fileno(), stream.fileno())
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # gloo's threads now and then abort a process that has done all its work and ends the ordinary way.
    os._exit(status)
