"""What the data stages are given and check, on a small folder."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from forge.data.fingerprint import fingerprint
from forge.data.tokens import build_tokens
from forge.errors import StageError
from forge.plan.types import Plan, SourcePlan, StagePlan
from forge.progress import SilentProgress
from forge.run.stages import WORK, Workplace
from tests.data.builders import LAKE, prose, prose_files, write_folder
from tests.evaluate.taught import write_corpus
from tests.export.artifacts import planned, write_tokenizer
from tests.factories import TOKENS, tiny_plan

LONG_AGO_S = 1_000_000_000


def plan_of(folder: Path, cache: Path) -> Plan:
    for path in folder.iterdir():
        os.utime(path, (LONG_AGO_S, LONG_AGO_S))
    found = fingerprint(str(folder), cache)
    source = SourcePlan(str(folder), found.files, found.bytes, found.sha256)
    plan = tiny_plan()
    stages = (StagePlan("lake", (), {**LAKE, "sources": []}, "0123456789ab"), *plan.stages[1:])
    return replace(plan, sources=(source,), stages=stages)


class Meddling(SilentProgress):
    """Changes a file of the source as soon as reading begins."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def start(self, total: float, unit: str) -> None:
        self._path.write_text("changed under the run")


class Noting(SilentProgress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(line)


def make_lake(plan: Plan, folder: Path, cache: Path, progress: SilentProgress) -> None:
    folder.mkdir(parents=True)
    WORK["lake"](Workplace(plan, folder.parent, cache), folder, progress)


def test_a_source_that_changes_under_the_run_stops_it(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", prose_files(range(5)))
    plan = plan_of(folder, tmp_path / "hashes")
    with pytest.raises(StageError) as error:
        make_lake(plan, tmp_path / "artifacts" / "x", tmp_path / "hashes", Meddling(folder / "002.txt"))
    assert error.value.lines == (
        f"lake: {folder}: is not what it was when the plan was compiled: give the same command again",
    )


def test_the_next_lake_reads_only_what_is_new(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", prose_files(range(5)))
    cache = tmp_path / "hashes"
    progress = Noting()
    make_lake(plan_of(folder, cache), tmp_path / "artifacts" / "lake-one", cache, progress)
    assert progress.lines == []
    write_folder(folder, {"new.txt": "a document more"})
    make_lake(plan_of(folder, cache), tmp_path / "artifacts" / "lake-two", cache, progress)
    assert progress.lines == ["5 of 6 files are what an earlier run read: not read again"]


def test_a_contaminated_evaluation_is_refused_before_the_training(tmp_path: Path) -> None:
    held_out, leaked = prose(90, 30), prose(91, 30)
    write_corpus(tmp_path / "corpus", [*(prose(seed, 30) for seed in range(4)), leaked], [held_out, leaked])
    write_tokenizer(tmp_path / "tokenizer")
    (tmp_path / "tokens").mkdir()
    build_tokens(tmp_path / "corpus", tmp_path / "tokenizer", TOKENS, tmp_path / "tokens", SilentProgress())
    place = Workplace(planned(evaluate={"contamination": "refuse", "prompts": []}), tmp_path, None)
    place.artifacts.update({name: tmp_path / name for name in ("corpus", "tokenizer", "tokens")})
    (tmp_path / "train").mkdir()
    with pytest.raises(StageError, match="refuse: 1 of 2 held-out documents share a run of 13 words"):
        WORK["train"](place, tmp_path / "train", SilentProgress())
    assert list((tmp_path / "train").iterdir()) == []


def test_a_prompt_without_room_is_refused_before_the_training(tmp_path: Path) -> None:
    write_tokenizer(tmp_path / "tokenizer")
    plan = planned(evaluate={"contamination": "report", "prompts": ["the licence " * 64]})
    place = Workplace(plan, tmp_path, None)
    place.artifacts["tokenizer"] = tmp_path / "tokenizer"
    with pytest.raises(StageError, match="leave no room in a context of 64: shorten the prompt"):
        WORK["train"](place, tmp_path / "train", SilentProgress())
    assert not (tmp_path / "train").exists()
