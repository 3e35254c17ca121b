"""The sbatch script: what it asks for, that bash reads it, and what it does, carried out by bash in Slurm's place.

With Slurm itself: test_slurm_cluster.py.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from forge.errors import SpecError
from forge.run.needs import notice_s
from forge.run.slurm import EARLY_S, PlanFile, SlurmOptions, slurm_script
from tests.plan.specs import compiled


def script(
    *overrides: str, options: SlurmOptions | None = None, folder: Path = Path("/shared"), nodes: int = 0
) -> str:
    plan = compiled(*overrides)
    if nodes:  # no spec says so of CPUs
        plan = replace(plan, layout=replace(plan.layout, nodes=nodes))
    files = [PlanFile(plan, folder / "plan.json")]
    return slurm_script(files, options or SlurmOptions(), folder, folder, folder / "logs")


def asked(text: str) -> dict[str, str]:
    """Return the options that Slurm reads, by name."""
    found = re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", text, re.MULTILINE)
    return {name: value.strip('"') for name, value in found}


def test_machines_memory_and_time_are_the_plan_s() -> None:
    plan = compiled("+recipe=legal_7b", "hardware=16xh100")
    options = asked(script("+recipe=legal_7b", "hardware=16xh100"))
    assert options["nodes"] == "2"
    assert options["ntasks-per-node"] == "1"
    assert options["gpus-per-node"] == "8"
    assert options["cpus-per-task"] == str(8 * plan.layout.threads_per_process)
    assert int(options["mem"].removesuffix("G")) * 1024**3 > sum(i.bytes for i in plan.estimates.host_memory)
    days, clock = options["time"].split("-")
    hours = int(days) * 24 + int(clock[:2]) + int(clock[3:5]) / 60
    upper = plan.estimates.wall_clock_s * (1 + plan.estimates.time_error_fraction) / 3600
    kept = (
        notice_s(plan) + EARLY_S
    ) / 3600  # Slurm tells that much before, so that the time that is left is enough
    assert upper + kept < hours < upper + kept + 0.2
    assert options["signal"] == f"B:USR1@{notice_s(plan)}"
    assert "requeue" in options
    assert options["open-mode"] == "append"
    assert options["job-name"] == "legal_7b"


def test_what_the_cluster_wants_to_know_is_asked_for() -> None:
    options = asked(
        script(
            "+recipe=legal_7b",
            "hardware=8xh100",
            options=SlurmOptions("gpu", "law", "high", 24.0, "module load cuda"),
        )
    )
    assert (options["partition"], options["account"], options["qos"]) == ("gpu", "law", "high")
    assert options["time"] == "1-00:00:00"
    assert "gpus-per-node" not in asked(script("+recipe=legal_tiny", "hardware=cpu"))


@pytest.mark.parametrize("hardware", ["8xh100", "16xh100"])
def test_bash_reads_the_script(hardware: str, tmp_path: Path) -> None:
    folder = tmp_path / "it's a $HOME; folder"
    text = script("+recipe=legal_7b", f"hardware={hardware}", folder=folder)
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    assert f"cd {shlex.quote(str(folder))} ||" in text


def test_a_time_limit_that_leaves_no_time_is_refused() -> None:
    with pytest.raises(SpecError, match=r"launch.time_limit_hours: 0.01 h leaves no time to train") as caught:
        script("+recipe=legal_tiny", "hardware=cpu", options=SlurmOptions(time_limit_hours=0.01))
    (least,) = re.findall(r"allow ([\d.]+) h or more$", caught.value.lines[0])
    assert script("+recipe=legal_tiny", "hardware=cpu", options=SlurmOptions(time_limit_hours=float(least)))


def test_several_plans_are_an_array_in_their_order() -> None:
    plans = [
        compiled("+recipe=legal_tiny", "hardware=cpu", f"train.tokens={tokens}")
        for tokens in (450_000, 900_000)
    ]
    files = [PlanFile(plan, Path(f"/shared/{plan.id}/plan.json")) for plan in plans]
    text = slurm_script(files, SlurmOptions(), Path("/shared"), Path("/shared"), Path("/shared"))
    options = asked(text)
    assert options["array"] == "0-1"
    assert options["output"].endswith("slurm-%A_%a.log")
    alone = [
        asked(slurm_script([file], SlurmOptions(), Path("/shared"), Path("/shared"), Path("/shared")))
        for file in files
    ]
    assert options["time"] == max(each["time"] for each in alone)
    for task, file in enumerate(files):
        shown = subprocess.run(
            [
                "bash",
                "-c",
                "\n".join(text.splitlines()[text.splitlines().index("") :][:3]) + '\necho "$plan"',
            ],
            env={"SLURM_ARRAY_TASK_ID": str(task), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
        )
        assert shown.stdout.strip() == str(file.path)


def test_an_array_has_machines_of_one_kind() -> None:
    plans = [compiled("+recipe=legal_7b", f"hardware={name}") for name in ("8xh100", "16xh100")]
    files = [PlanFile(plan, Path("/shared/plan.json")) for plan in plans]
    with pytest.raises(SpecError, match="the runs need different machines"):
        slurm_script(files, SlurmOptions(), Path("/shared"), Path("/shared"), Path("/shared"))


RUNS = f"""#!{sys.executable}
import os, signal, sys, time
def stop(number, frame):
    print("told", signal.Signals(number).name, flush=True)
    sys.exit(128 + signal.SIGTERM)
signal.signal(signal.SIGUSR1, stop)
signal.signal(signal.SIGTERM, stop)
print("running", *sys.argv[1:], flush=True)
open("started", "w").close()
time.sleep(float(os.environ["SECONDS_OF_RUN"]))
sys.exit(int(os.environ.get("STATUS", "0")))
"""
"""In the place of forge: says what it is told."""


def carried_out(
    folder: Path,
    told: signal.Signals | None,
    status: int = 0,
    nodes: int = 0,
    array: dict[str, str] | None = None,
) -> tuple[int, list[str], list[str]]:
    """Return exit status and output of the script, and what scontrol was asked, when bash carries it out."""
    text = script("+recipe=legal_tiny", "hardware=cpu", folder=folder, nodes=nodes)
    forge = folder / "forge"
    forge.write_text(RUNS)
    scontrol = folder / "scontrol"
    scontrol.write_text(
        '#!/bin/bash\necho "$@" >> "$(dirname "$0")/asked"\n[ "$1" = show ] && printf "n1\\nn2\\n"\n'
    )
    for program in (forge, scontrol):
        program.chmod(0o755)
    ours = shlex.join([sys.executable, "-m", "forge.cli.main", "run"])
    assert ours in text
    job = subprocess.Popen(
        ["bash", "-c", text.replace(ours, str(forge))],
        cwd=folder,
        env={
            "PATH": f"{folder}:{os.environ['PATH']}",
            "SLURM_JOB_ID": "7",
            "SLURM_JOB_NODELIST": "n[1-2]",
            "SECONDS_OF_RUN": "60" if told else "0",
            "STATUS": str(status),
        }
        | (array or {}),
        stdout=subprocess.PIPE,
        text=True,
    )
    if told is not None:
        while not (folder / "started").exists():
            time.sleep(0.02)
        job.send_signal(told)
    output, _ = job.communicate(timeout=120)
    wanted = (folder / "asked").read_text().splitlines() if (folder / "asked").exists() else []
    return job.returncode, output.splitlines(), wanted


def test_a_job_whose_time_runs_out_goes_back_into_the_queue(tmp_path: Path) -> None:
    status, output, wanted = carried_out(tmp_path, signal.SIGUSR1)
    assert status == 143
    assert output == [
        f"running plan={tmp_path}/plan.json output_dir={tmp_path}",
        "told SIGUSR1",
        "time is over: back into the queue",
    ]
    assert wanted == ["requeue 7"]


def test_a_task_of_an_array_takes_none_of_the_others_with_it(tmp_path: Path) -> None:
    # 7 is the number of the last task, and of the whole array.
    array = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0"}
    assert carried_out(tmp_path, signal.SIGUSR1, array=array)[2] == ["requeue 7_0"]


@pytest.mark.parametrize("status", [0, 3, 4])
def test_a_job_that_ends_by_itself_stays_ended(status: int, tmp_path: Path) -> None:
    assert carried_out(tmp_path, None, status)[::2] == (status, [])


def test_a_job_that_is_cancelled_stays_ended(tmp_path: Path) -> None:
    status, output, wanted = carried_out(tmp_path, signal.SIGTERM)
    assert (status, output[-1], wanted) == (143, "told SIGUSR1", [])


def test_several_machines_are_found_and_reached_through_slurm(tmp_path: Path) -> None:
    _, (output,), wanted = carried_out(tmp_path, None, nodes=2)
    assert wanted == ["show hostnames n[1-2]"]
    machines = tmp_path / "machines-7"
    assert machines.read_text() == "n1 slots=1\nn2 slots=1\n"
    assert f"hostfile={machines}" in output
    remote_shell = output.partition(" remote_shell=")[2]
    words = shlex.split(remote_shell)
    # As forge calls it: these words, a host, a command for a shell there.
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    said = subprocess.run(
        [*words, "n2", "cd '/a b' && exec env X=1 python"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert "--nodelist=n2" in said
    assert said[-3:] == ["bash", "-c", "cd '/a b' && exec env X=1 python"]


def test_submitit_s_local_executor_carries_out_the_tasks_of_an_array(tmp_path: Path) -> None:
    """What submitit pickles is its own: a command's words. The script is the one that sbatch gets."""
    submitit = pytest.importorskip("submitit")
    plans = [
        compiled("+recipe=legal_tiny", "hardware=cpu", f"train.tokens={tokens}")
        for tokens in (450_000, 900_000)
    ]
    files = [PlanFile(plan, tmp_path / plan.id / "plan.json") for plan in plans]
    text = slurm_script(files, SlurmOptions(), tmp_path, tmp_path, tmp_path)
    forge = tmp_path / "forge"
    forge.write_text(RUNS)
    forge.chmod(0o755)
    script_file = tmp_path / "slurm.sh"
    script_file.write_text(
        text.replace(shlex.join([sys.executable, "-m", "forge.cli.main", "run"]), str(forge))
    )
    executor = submitit.LocalExecutor(folder=tmp_path / "jobs")
    jobs = [
        executor.submit(
            submitit.helpers.CommandFunction(
                ["bash", str(script_file)],
                env={
                    "PATH": os.environ["PATH"],
                    "SLURM_ARRAY_TASK_ID": str(task),
                    "SECONDS_OF_RUN": "0",
                },
            )
        )
        for task in range(2)
    ]
    assert [job.result().strip() for job in jobs] == [
        f"running plan={file.path} output_dir={tmp_path}" for file in files
    ]
