"""Whether what a command line compiles to can be carried out here."""

from __future__ import annotations

from pathlib import Path

from forge.cli.compiling import Compiled
from forge.engine.hosts import Cluster, check_cluster, read_cluster
from forge.plan.engine_limits import check_carried_out
from forge.plan.hardware import check_runnable
from forge.plan.machine import Machine
from forge.plan.types import Plan


def check_here(one: Compiled, machine: Machine) -> None:
    """Refuse what this machine, forge's engine or the machines named cannot carry out.

    Raises:
        SpecError: the machines named are not what the plan is for.
        FitError: this machine is not.
    """
    check_runnable(one.hardware, machine)
    check_carried_out(one.plan.layout)
    cluster_of(one.plan, one.spec.values["hostfile"], one.spec.values["remote_shell"])


def cluster_of(plan: Plan, hostfile: str | None, remote_shell: str) -> Cluster | None:
    """Return the machines of a plan that runs on several.

    Raises:
        SpecError: they cannot be read, or are not what the plan is for.
    """
    cluster = None if hostfile is None else read_cluster(Path(hostfile), remote_shell)
    check_cluster(cluster, plan.layout)
    return cluster
