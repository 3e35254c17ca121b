"""Stages killed at random, and started again: they go on, and the bytes are those of an undisturbed run."""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from forge.run.artifacts import artifact_folder
from tests.data.resume_child import STAGES, plan

KILLS = {"lake": 7, "corpus": 8, "tokens": 5}
DOCUMENTS = 400


def real_documents(folder: Path) -> Path:
    """Copy licence texts: real ones, with duplicates and versions among them."""
    found = importlib.util.find_spec("licensedcode")
    assert found is not None
    assert found.submodule_search_locations
    texts = sorted((Path(found.submodule_search_locations[0]) / "data" / "licenses").glob("*.LICENSE"))
    folder.mkdir()
    for path in texts[:DOCUMENTS]:
        shutil.copy(path, folder)
    return folder


def child(stage: str, root: Path, source: Path, workers: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.data.resume_child", stage, str(root), str(source), str(workers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finish(stage: str, root: Path, source: Path) -> float:
    """Carry out a stage undisturbed; return how long its work took (s)."""
    process = child(stage, root, source, 1)
    assert process.stdout is not None
    process.stdout.readline()
    began_s = time.monotonic()
    process.communicate()
    assert process.returncode == 0
    return time.monotonic() - began_s


def killed(stage: str, root: Path, source: Path, workers: int, after_s: float) -> tuple[bool, int]:
    """Start a stage and kill it so long after it began to work.

    Return whether it was not done before, and how many shards it found done.
    """
    process = child(stage, root, source, workers)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(after_s)
    process.kill()
    said, _ = process.communicate()
    return process.returncode != 0, said.count("resumed")


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "artifact.json"
    }


@pytest.mark.soak
def test_twenty_kills_change_no_byte(tmp_path: Path) -> None:
    source = real_documents(tmp_path / "source")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    chance = random.Random(20)
    for stage in STAGES:
        took_s = finish(stage, whole, source)
        wanted = KILLS.get(stage, 0)
        count = found = 0
        latest_s = took_s / 2
        # On a machine that has become slower no kill may come after the first commit: then later ones are tried.
        while count < wanted or (wanted and not found and count < 3 * wanted):
            workers = chance.choice((1, 1, 2))
            fell, resumed = killed(stage, broken, source, workers, chance.uniform(0, latest_s))
            count += fell
            found += resumed
            latest_s *= 1 if resumed or not fell else 1.2
            if not fell:  # it was faster than the kill: once more from the start
                shutil.rmtree(artifact_folder(broken, plan(stage)))
                latest_s = took_s / 2
        finish(stage, broken, source)
        made = content(artifact_folder(broken, plan(stage)))
        assert made == content(artifact_folder(whole, plan(stage))), stage
        assert len(made) >= 2
        assert found or not wanted, stage
    assert sorted(os.listdir(broken)) == sorted(os.listdir(whole))  # noqa: PTH208
