"""Slurm: the sbatch script that carries out plan files, one a job or several as an array.

The script needs nothing but bash, Slurm's own commands and forge on a file system that all machines see. A job that is
told that its time runs out writes a checkpoint, goes back into the queue and goes on from there.
"""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from forge.errors import SpecError
from forge.plan.types import Plan
from forge.run.needs import START_HOURS, cpus, hours, memory_gib, notice_s

MAX_NOTICE_S = 65_535
"""What Slurm takes."""

EARLY_S = 60
"""By how much Slurm may tell a job sooner than it was asked to (sbatch(1), --signal)."""


@dataclass(frozen=True, slots=True)
class SlurmOptions:
    """What a cluster wants to know beside the plan."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time_limit_hours: float | None = None
    """None: what the plan is predicted to need."""
    setup: str | None = None
    """Shell commands before forge."""


@dataclass(frozen=True, slots=True)
class PlanFile:
    """A plan and where it lies."""

    plan: Plan
    path: Path
    """Absolute, on a file system that all machines see."""


def slurm_script(
    plans: Sequence[PlanFile], options: SlurmOptions, workdir: Path, output_dir: Path, logs: Path
) -> str:
    """Return the text of the sbatch script.

    Args:
        plans: what to carry out; several become the tasks of an array, in this order.
        options: what the cluster wants to know.
        workdir: the folder that relative paths of the plans start from.
        output_dir: where runs/ and artifacts/ are.
        logs: the folder of the jobs' output.

    Raises:
        SpecError: the plans need different machines, which one array can't ask for.
    """
    needs = {_machines(file.plan) for file in plans}
    if len(needs) > 1:
        raise SpecError(
            "launch=slurm: the runs need different machines, and an array has machines of one kind: submit them apart"
        )
    return "\n".join(
        [
            "#!/bin/bash",
            *(f"#SBATCH {option}" for option in _options(plans, options, logs)),
            "",
            f"plans=({' '.join(shlex.quote(str(file.path)) for file in plans)})",
            "plan=${plans[${SLURM_ARRAY_TASK_ID:-0}]}",
            f"cd {shlex.quote(str(workdir))} || exit 1",
            *([options.setup] if options.setup else []),
            _command(plans[0].plan, output_dir),
            _ENDING,
        ]
    )


def _options(plans: Sequence[PlanFile], options: SlurmOptions, logs: Path) -> list[str]:
    plan = plans[0].plan
    told_s = min(MAX_NOTICE_S, max(notice_s(file.plan) for file in plans))
    kept_s = told_s + EARLY_S
    if options.time_limit_hours is None:
        limit_s = 3600 * max(hours(file.plan) for file in plans) + kept_s
    else:
        limit_s = 3600 * options.time_limit_hours
    if limit_s < kept_s + 3600 * START_HOURS:
        raise SpecError(
            f"launch.time_limit_hours: {limit_s / 3600:.3g} h leaves no time to train, as {kept_s} s of it are for "
            f"the last checkpoint and {3600 * START_HOURS:.0f} s for the start: allow "
            f"{math.ceil(100 * (kept_s / 3600 + START_HOURS)) / 100} h or more"
        )
    name = plan.name if len(plans) == 1 else f"{plan.name}-and-{len(plans) - 1}-more"
    of_array = "%A_%a" if len(plans) > 1 else "%j"
    return [
        f"--job-name={name}",
        *([f"--array=0-{len(plans) - 1}"] if len(plans) > 1 else []),
        *_machines(plan),
        f"--mem={max(memory_gib(file.plan) for file in plans)}G",
        f"--time={_clock(limit_s)}",
        f"--signal=B:USR1@{told_s}",
        "--requeue",
        "--open-mode=append",
        # Slurm reads quotes here, and % as the beginning of a placeholder.
        f'--output="{str(logs).replace("%", "%%")}/slurm-{of_array}.log"',
        *(
            f"--{key}={value}"
            for key, value in (
                ("partition", options.partition),
                ("account", options.account),
                ("qos", options.qos),
            )
            if value is not None
        ),
    ]


def _machines(plan: Plan) -> tuple[str, ...]:
    """Return what is asked for of machines: forge starts the processes of a machine itself, so one task each."""
    layout = plan.layout
    gpus = (f"--gpus-per-node={layout.processes_per_node}",) if layout.device == "cuda" else ()
    return (f"--nodes={layout.nodes}", "--ntasks-per-node=1", f"--cpus-per-task={cpus(plan)}", *gpus)


def _clock(seconds: float) -> str:
    """Return a time as Slurm reads it: days-hours:minutes:seconds, rounded up to minutes."""
    minutes = math.ceil(seconds / 60)
    return f"{minutes // 1440}-{minutes // 60 % 24:02}:{minutes % 60:02}:00"


def _command(plan: Plan, output_dir: Path) -> str:
    """Return the lines that start forge; with several machines they find their names and a way to reach them."""
    words = [sys.executable, "-m", "forge.cli.main", "run"]
    start = f'{shlex.join(words)} "plan=$plan" {shlex.quote(f"output_dir={output_dir}")}'
    if plan.layout.nodes == 1:
        return f"{start} &"
    layout = plan.layout
    gpus = f" --gpus-per-node={layout.processes_per_node}" if layout.device == "cuda" else ""
    # What forge appends is a host and a command for a shell: $0 and $1 here.
    reach = (
        f"exec srun --overlap --nodes=1 --ntasks=1 --cpus-per-task={cpus(plan)}{gpus} --cpu-bind=none --unbuffered "
        '--nodelist="$0" bash -c "$1"'
    )
    remote_shell = shlex.quote(f"remote_shell={shlex.join(['bash', '-c', reach])}")
    return "\n".join(
        [
            'machines="${plan%/*}/machines-$SLURM_JOB_ID"',
            f"scontrol show hostnames \"$SLURM_JOB_NODELIST\" | sed 's/$/ slots={layout.processes_per_node}/' "
            '> "$machines"',
            f'{start} "hostfile=$machines" {remote_shell} &',
        ]
    )


_ENDING = """\
run=$!
requeue=
trap 'requeue=yes; kill -USR1 $run' USR1
# A job that is cancelled is told in all its processes; to forge, the other signal is no second wish.
trap 'kill -USR1 $run' TERM
wait $run
status=$?
while kill -0 $run 2> /dev/null; do
    wait $run
    status=$?
done
if [ -n "$requeue" ] && [ $status -gt 128 ]; then
    echo "time is over: back into the queue"
    # The last task of an array has the array's own number, which stands for all its tasks.
    scontrol requeue "${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_}${SLURM_ARRAY_TASK_ID:-$SLURM_JOB_ID}"
fi
exit $status
"""
