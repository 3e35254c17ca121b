"""The machines of a run over several nodes, named in a hostfile as DeepSpeed and Horovod read them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from forge.errors import SpecError
from forge.plan.types import LayoutPlan

_LINE = re.compile(r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?:\s+slots=(?P<slots>[0-9]+))?")


@dataclass(frozen=True, slots=True)
class Host:
    """One machine."""

    name: str
    """As the others reach it: a host name or an IPv4 address."""
    slots: int | None
    """Workers it takes; None where the file does not say."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """The machines that carry out one run. All see its folders under the same paths."""

    hosts: tuple[Host, ...]
    """The first is this one."""
    remote_shell: tuple[str, ...]
    """What runs a command elsewhere: these words, a host's name, the command."""


def read_cluster(hostfile: Path, remote_shell: str) -> Cluster:
    """Return what a hostfile says: `HOST slots=N`, one machine a line; # begins a comment.

    Raises:
        SpecError: it can't be read, or a line is none of these.
    """
    try:
        text = hostfile.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is no text"
        raise SpecError(
            f"hostfile: {hostfile}: can't be read ({reason}): name a file of `HOST slots=N` lines"
        ) from None
    problems: list[str] = []
    hosts: list[Host] = []
    for number, line in _lines(text):
        match = _LINE.fullmatch(line)
        if match is None:
            problems.append(f"{hostfile}:{number}: {line!r} is no machine: write HOST slots=N")
        elif any(host.name == match["name"] for host in hosts):
            problems.append(f"{hostfile}:{number}: {match['name']} is named twice: name a machine once")
        else:
            hosts.append(Host(match["name"], int(match["slots"]) if match["slots"] else None))
    if not problems and not hosts:
        problems.append(f"{hostfile}: names no machine: write HOST slots=N, one a line")
    try:
        words = tuple(shlex.split(remote_shell))
    except ValueError as error:
        words = ()
        problems.append(f"remote_shell: {remote_shell!r} is no command ({error}): close its quotes")
    if problems:
        raise SpecError(*problems)
    return Cluster(tuple(hosts), words)


def check_cluster(cluster: Cluster | None, layout: LayoutPlan) -> None:
    """Refuse machines that do not make up what a plan is for.

    Raises:
        SpecError: with the remedy.
    """
    if layout.nodes == 1:
        return
    if cluster is None:
        raise SpecError(
            f"hardware={layout.hardware}: runs on {layout.nodes} machines: name them with hostfile=FILE, one line "
            f"each: HOST slots={layout.processes_per_node}"
        )
    if len(cluster.hosts) < layout.nodes:
        raise SpecError(
            f"hostfile: names {len(cluster.hosts)} of the {layout.nodes} machines of hardware={layout.hardware}: "
            "name the others, or choose smaller hardware"
        )
    for host in cluster.hosts[: layout.nodes]:
        if host.slots is not None and host.slots < layout.processes_per_node:
            raise SpecError(
                f"hostfile: {host.name} takes {host.slots} workers, the plan starts {layout.processes_per_node} on a "
                "machine: choose other hardware"
            )


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if content := line.partition("#")[0].strip():
            yield number, content
