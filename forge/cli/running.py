"""Whether what a command line compiles to can be carried out where it says: here, or on machines that it names."""

from __future__ import annotations

from pathlib import Path

from forge.cli.compiling import Compiled
from forge.cli.sending import SENT_OFF, check_target
from forge.engine.fp8 import check_fp8_installed
from forge.engine.hosts import Cluster, check_cluster, read_cluster
from forge.engine.swapping import check_swapping
from forge.errors import SpecError
from forge.plan.engine_limits import check_carried_out
from forge.plan.hardware import check_runnable
from forge.plan.machine import Machine
from forge.plan.types import Plan
from forge.run.tracking.beside import check_trackers
from forge.spec.locate import located


def check_here(one: Compiled, machine: Machine) -> None:
    """Refuse what forge's engine, this machine or the machines named cannot carry out; elsewhere is not looked at.

    Raises:
        SpecError: the machines named are not what the plan is for.
        FitError: this machine is not.
    """
    check_carried_out(one.plan.layout)
    values = one.spec.values
    target, hostfile = values["launch"]["target"], values["hostfile"]
    try:
        check_target(target, hostfile)
    except SpecError as error:
        raise SpecError(*(located(one.spec, line) for line in error.lines)) from None
    if target in SENT_OFF:
        return
    check_runnable(one.hardware, machine)
    try:
        check_trackers(values["track"])
    except SpecError as error:
        raise SpecError(*(located(one.spec, line) for line in error.lines)) from None
    if hostfile is None:
        check_swapping(one.plan.layout)
        check_fp8_installed(one.plan.layout)
    cluster_of(one.plan, hostfile, values["remote_shell"])


def cluster_of(plan: Plan, hostfile: str | None, remote_shell: str) -> Cluster | None:
    """Return the machines of a plan that runs on several.

    Raises:
        SpecError: they cannot be read, or are not what the plan is for.
    """
    cluster = None if hostfile is None else read_cluster(Path(hostfile), remote_shell)
    check_cluster(cluster, plan.layout)
    return cluster
