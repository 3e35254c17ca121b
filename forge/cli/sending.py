"""`launch=slurm` and `launch=kubernetes`: write what carries out the plans elsewhere, and hand it over."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forge.cli.compiling import Compiled
from forge.errors import SpecError, StageError
from forge.files import replace_text
from forge.plan.types import Estimates, Plan, content_hash, plan_to_json
from forge.run.display import Display
from forge.run.kubernetes import KubernetesOptions, kubernetes_manifests, manifest_text
from forge.run.quantities import duration, figure, money
from forge.run.run import run_folder
from forge.run.slurm import PlanFile, SlurmOptions, slurm_script
from forge.run.tracking.beside import record_tracking
from forge.spec.locate import located

SENT_OFF = ("slurm", "kubernetes")
"""Targets of group `launch` that another machine carries out."""


def sent_off(compiled: Sequence[Compiled]) -> dict[str, Any] | None:
    """Return how runs are sent elsewhere; None where they are carried out here."""
    launches = [point.spec.values["launch"] for point in compiled]
    if any(launch != launches[0] for launch in launches):
        raise SpecError("command line: launch: is not the same for all runs: give one")
    return launches[0] if launches[0]["target"] in SENT_OFF else None


def refuse_sent_off(run: Compiled, why: str) -> None:
    """Refuse to send elsewhere what comes in parts that follow from one another; `why` begins the line."""
    if launch := sent_off([run]):
        raise SpecError(
            f"{why}, which launch={launch['target']} does not: give this command in a job, with launch=local"
        )


def check_target(target: str, hostfile: str | None) -> None:
    """Refuse machines that are named beside a target that chooses them, and none beside one that needs them."""
    if target in SENT_OFF and hostfile is not None:
        raise SpecError(f"hostfile: launch={target} chooses the machines: leave it out")
    if target == "ssh" and hostfile is None:
        raise SpecError(
            "launch=ssh: goes to the machines of a hostfile: name them with hostfile=FILE, one line each: HOST slots=N"
        )


def refuse_dry_run(dry_run: bool) -> None:
    """Refuse --dry-run where nothing is handed over."""
    if dry_run:
        raise SpecError(
            "command line: --dry-run: goes with launch=slurm or launch=kubernetes: drop it, or see `forge plan`"
        )


@dataclass(frozen=True, slots=True)
class Parcel:
    """A file that stands for one or more runs, and the command that hands it over."""

    file: Path
    """Relative to the working folder where it is in it."""
    command: tuple[str, ...]


def pack_parcel(plans: Sequence[Plan], launch: dict[str, Any], output_dir: Path) -> Parcel:
    """Write the plans and what carries them out into the runs' folders.

    Args:
        plans: what to carry out; several become one array of jobs, or one manifest each in one file.
        launch: group `launch` of the spec.
        output_dir: where runs/ is.

    Raises:
        SpecError: the plans can't be carried out there.
    """
    for plan in plans:
        if plan.layout.hardware == "local":
            raise SpecError(
                f"hardware=local: is this machine, and launch={launch['target']} has others: name theirs, as "
                "hardware=8xh100"
            )
    workdir, output_dir = Path.cwd(), Path.cwd() / output_dir.expanduser()
    folders = [run_folder(plan, output_dir) for plan in plans]
    if len(plans) == 1:
        beside = folders[0]
    else:
        together = content_hash([plan.id for plan in plans])[:12]
        beside = output_dir / "launches" / f"{plans[0].name}-{together}"
    slurm = launch["target"] == "slurm"
    file = beside / ("slurm.sh" if slurm else "jobset.yaml")
    files = [PlanFile(plan, folder / "plan.json") for plan, folder in zip(plans, folders, strict=True)]
    text = (
        slurm_script(files, _slurm_options(launch), workdir, output_dir, beside)
        if slurm
        else _manifests(plans, launch, workdir, output_dir)
    )
    try:
        for each in files:
            each.path.parent.mkdir(parents=True, exist_ok=True)
            replace_text(each.path, plan_to_json(each.plan))
        beside.mkdir(parents=True, exist_ok=True)
        replace_text(file, text)
    except OSError as error:
        raise StageError(
            f"{error.filename or file}: cannot be written ({error.strerror}): set output_dir to a folder you may "
            "write to"
        ) from None
    shown = file.relative_to(workdir) if file.is_relative_to(workdir) else file
    return Parcel(shown, ("sbatch", str(shown)) if slurm else ("kubectl", "apply", "-f", str(shown)))


def send_off(
    plans: list[Plan], launch: dict[str, Any], output_dir: Path, display: Display, dry_run: bool
) -> None:
    """Write what carries out the plans elsewhere, and hand it over unless that is all that is asked."""
    parcel = pack_parcel(plans, launch, output_dir)
    display.line(f"written to {parcel.file}")
    display.line(f"hand it over with {' '.join(parcel.command)}" if dry_run else hand_over(parcel))


def send_all_off(compiled: Sequence[Compiled], display: Display, dry_run: bool) -> bool:
    """Send compiled runs off where their specs say so; False where they are to be carried out here.

    Raises:
        SpecError: they can't be carried out there, or `dry_run` is asked for of runs that stay here.
        StageError: they can't be handed over.
    """
    launch = sent_off(compiled)
    if launch is None:
        refuse_dry_run(dry_run)
        return False
    spec = compiled[0].spec
    output_dir = Path(spec.values["output_dir"]).expanduser()
    for one in compiled:
        record_tracking(run_folder(one.plan, output_dir), one.spec.values["track"])
    display.line(_predicted([one.plan.estimates for one in compiled]))
    try:
        send_off(
            [point.plan for point in compiled], launch, Path(spec.values["output_dir"]), display, dry_run
        )
    except SpecError as error:
        raise SpecError(*(located(spec, line) for line in error.lines)) from None
    return True


def _predicted(estimates: Sequence[Estimates]) -> str:
    parts = [f"predicted: {duration(sum(each.wall_clock_s for each in estimates))} of training"]
    if gpu_hours := sum(each.gpu_hours for each in estimates):
        parts.append(f"{figure(gpu_hours)} GPU-hours")
    if costs := [each.cost_usd for each in estimates if each.cost_usd]:
        parts.append(money(sum(costs)))
    return ", ".join(parts)


def hand_over(parcel: Parcel) -> str:
    """Submit a parcel; return what the scheduler said.

    Raises:
        StageError: its command is not here, or refuses it.
    """
    program = parcel.command[0]
    if shutil.which(program) is None:
        raise StageError(
            f"{program}: is not on this machine: give `{' '.join(parcel.command)}` where it is, or use launch=local"
        )
    done = subprocess.run(parcel.command, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise StageError(*(f"{program}: {line}" for line in said))
    return done.stdout.strip()


def _slurm_options(launch: dict[str, Any]) -> SlurmOptions:
    names = ("partition", "account", "qos", "time_limit_hours", "setup")
    return SlurmOptions(**{name: launch[name] for name in names})


def _manifests(plans: Sequence[Plan], launch: dict[str, Any], workdir: Path, output_dir: Path) -> str:
    missing = [
        f"launch.{key}: launch=kubernetes needs {what}: give it"
        for key, what in (
            ("image", "a container image with forge in it"),
            ("volume_claim", "the claim of a volume that holds the documents"),
        )
        if launch[key] is None
    ]
    if missing:
        raise SpecError(*missing)
    if not output_dir.is_relative_to(workdir):
        raise SpecError(
            f"output_dir: {output_dir}: is not below {workdir}, where pods mount their volume: give a folder in it"
        )
    names = ("image", "volume_claim", "namespace", "ssh_secret")
    options = KubernetesOptions(**{name: launch[name] for name in names})
    return manifest_text(
        [each for plan in plans for each in kubernetes_manifests(plan, options, workdir, output_dir)]
    )
