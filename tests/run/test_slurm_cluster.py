"""`launch=slurm` with Slurm: an array of a sweep's runs, put back into the queue, cancelled, sent again, ranked."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from forge.engine.events import read_events
from tests.run.slurm_cluster import slurm_cluster, wait_until_empty, what_is_missing
from tests.run.small import command, write_documents
from tests.run.sweep.test_soak import table

SWEEP = ("-m", "train.learning_rate=1e-3,2e-3,4e-3", "train.steps=200", "train.checkpoint_every_steps=200")
SLURM = ("launch=slurm", "launch.time_limit_hours=1")
PATIENCE_S = 900


@pytest.fixture
def cluster() -> Iterator[dict[str, str]]:
    """The environment in which the commands of a cluster of one node find it; skips where Slurm is not installed."""
    if why := what_is_missing():
        pytest.skip(why)
    with slurm_cluster() as environment:
        yield environment


def sweep(folder: Path, environment: dict[str, str], *more: str) -> tuple[str, str]:
    """Give the command of the sweep; return what it printed and what it said."""
    words = command(folder / "documents", folder / "out", *SWEEP, *more)
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def jobs(environment: dict[str, str]) -> dict[str, str]:
    """Return the tasks of arrays that are at work, as `12_0`, by their run's folder."""
    asked = ["squeue", "--noheader", "--states=RUNNING", "--format=%i"]
    at_work = subprocess.run(asked, env=environment, capture_output=True, text=True).stdout.split()
    found = {}
    for job in at_work:
        shown = subprocess.run(
            ["scontrol", "show", "job", job], env=environment, capture_output=True, text=True
        )
        batch = subprocess.run(
            ["scontrol", "write", "batch_script", job, "-"], env=environment, capture_output=True, text=True
        )
        (plans,) = re.findall(r"^plans=\((.*)\)$", batch.stdout, re.MULTILINE)
        task = re.search(r"ArrayTaskId=(\d+)", shown.stdout)
        found[plans.split()[int(task[1]) if task else 0]] = job
    return {str(Path(plan).parent): job for plan, job in found.items()}


def wait_for(is_so: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < give_up_s
        time.sleep(0.1)


def step(run_dir: Path) -> int:
    """Return the newest step a run has told of."""
    events, _ = read_events(run_dir / "events.jsonl", 0)
    return max((event["step"] for event in events if event["event"] == "step"), default=0)


def log_of(folder: Path, job: str) -> str:
    (log,) = (folder / "out").glob(f"**/slurm-{job}.log")
    return log.read_text()


@pytest.mark.soak
def test_a_sweep_is_an_array_that_is_told_cancelled_sent_again_and_ranked(
    tmp_path: Path, cluster: dict[str, str]
) -> None:
    write_documents(tmp_path / "documents")
    _, said = sweep(tmp_path, cluster, *SLURM)
    assert re.search(r"^Submitted batch job 1$", said, re.MULTILINE), said

    # Three cores: all are at work.
    runs = sorted((tmp_path / "out" / "runs").iterdir())
    wait_for(lambda: all(step(run) > 5 for run in runs))
    by_job = {job: run for run, job in jobs(cluster).items()}
    assert sorted(by_job) == ["1_0", "1_1", "1_2"]

    # One is told, as by Slurm before its time is over; it goes back into the queue with a checkpoint, alone.
    subprocess.run(["scancel", "--signal=USR1", "--batch", "1_2"], env=cluster, check=True)
    # Another is cancelled.
    subprocess.run(["scancel", "1_1"], env=cluster, check=True)
    wait_until_empty(cluster, PATIENCE_S)
    told = log_of(tmp_path, "1_2")
    assert told.count("time is over: back into the queue") == 1
    assert re.search(r"going on from the checkpoint of step \d+", told)
    assert "stopping" not in log_of(tmp_path, "1_0")
    assert "back into the queue" not in log_of(tmp_path, "1_1")
    done = {job: (Path(run) / "summary.json").is_file() for job, run in by_job.items()}
    assert done == {"1_0": True, "1_1": False, "1_2": True}
    assert list((Path(by_job["1_1"]) / "checkpoints").glob("step-*")), log_of(tmp_path, "1_1")

    # The same command sends what is left, and then nothing.
    _, said = sweep(tmp_path, cluster, *SLURM)
    assert "3 runs, 2 done before" in said
    assert re.search(r"^Submitted batch job \d+$", said, re.MULTILINE), said
    wait_until_empty(cluster, PATIENCE_S)
    shown, said = sweep(tmp_path, cluster, *SLURM)
    assert "3 runs, 3 done before" in said
    assert "Submitted" not in said
    assert [line.split()[0] for line in shown.splitlines()[3:6]] == ["1", "2", "3"]

    # What came of it is what comes of the sweep where nothing happens.
    here = tmp_path / "here"
    here.mkdir()
    (here / "documents").symlink_to(tmp_path / "documents")
    words = command(tmp_path / "documents", here / "out", *SWEEP)
    stayed_here = subprocess.run(words, cwd=here, env=os.environ, capture_output=True, text=True)
    assert stayed_here.returncode == 0, stayed_here.stderr
    sent, stayed = table(tmp_path / "out"), table(here / "out")
    for row in sent["runs"]:
        row["overrides"] = [each for each in row["overrides"] if each not in SLURM]
    assert sent == stayed
