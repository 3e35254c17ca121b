"""A stage that was stopped in the middle does what is left, and only that."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forge.data import batches, corpus, encoded, lake, passes, tables, tasks, tokens
from forge.data.task_work import run_task
from forge.data.tasks import Task
from forge.data.tokenizer import train_tokenizer
from forge.files import WORK_FOLDER
from forge.progress import SilentProgress
from tests.data.builders import CORPUS, LAKE, make_corpus, make_lake, prose_files, rows, write_folder
from tests.factories import TOKENS, tokenizer_defaults


class Stopping(SilentProgress):
    """Stops the work at the nth advance; counts what is done anew and what was done before."""

    def __init__(self, stop_at: int = -1) -> None:
        self._stop_at = stop_at
        self.advanced = self.resumed = 0

    def advance(self, amount: float = 1.0) -> None:
        self.advanced += 1
        if self.advanced == self._stop_at:
            raise KeyboardInterrupt

    def resume(self, amount: float) -> None:
        self.resumed += 1


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake, "SMALL_BYTES", 0)
    monkeypatch.setattr(batches, "BATCH_FILES", 4)
    monkeypatch.setattr(tables, "ROW_GROUP_ROWS", 5)
    monkeypatch.setattr(tasks, "BUCKET_BYTES", 2_000)
    monkeypatch.setattr(encoded, "BLOCK_BYTES", 1_500)


Build = Callable[[Path, SilentProgress, Path], Any]


def stopped_and_whole(build: Build, place: Path, stop_at: int) -> tuple[Stopping, Stopping]:
    """Build twice: undisturbed, and stopped once. Compare the bytes; return both runs' progress."""
    undisturbed, after = Stopping(), Stopping()
    for name in ("one", "two"):
        (place / name).mkdir(parents=True)
    build(place / "one", undisturbed, place / "one" / WORK_FOLDER)
    with pytest.raises(KeyboardInterrupt):
        build(place / "two", Stopping(stop_at), place / "two" / WORK_FOLDER)
    for path in (place / "two").iterdir():
        if path.is_file():
            path.unlink()
    build(place / "two", after, place / "two" / WORK_FOLDER)
    made = [path.name for path in (place / "one").iterdir() if path.is_file()]
    assert made
    for name in made:
        assert (place / "two" / name).read_bytes() == (place / "one" / name).read_bytes()
    return undisturbed, after


def test_the_lake_reads_only_the_batches_that_are_left(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", prose_files(range(40)))

    def build(out: Path, progress: SilentProgress, work: Path) -> None:
        lake.build_lake([str(folder)], LAKE, out, progress, workers=1, work=work)

    whole, after = stopped_and_whole(build, tmp_path / "made", 6)
    assert whole.advanced == 10
    assert after.advanced + after.resumed == 10
    assert after.resumed >= 6


def test_a_file_changed_since_is_read_again(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", prose_files(range(12)))
    out = tmp_path / "out"
    out.mkdir()
    lake.build_lake([str(folder)], LAKE, out, SilentProgress(), 1, work=out / WORK_FOLDER)
    (folder / "005.txt").write_text("another text")
    progress = Stopping()
    lake.build_lake([str(folder)], LAKE, out, progress, 1, work=out / WORK_FOLDER)
    assert (progress.advanced, progress.resumed) == (1, 2)
    assert rows(out / "lake.parquet")[5]["text"] == "another text"


def test_a_pack_cut_short_is_made_again(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", prose_files(range(12)))
    out = tmp_path / "out"
    out.mkdir()
    lake.build_lake([str(folder)], LAKE, out, SilentProgress(), 1, work=out / WORK_FOLDER)
    before = (out / "lake.parquet").read_bytes()
    for path in (out / WORK_FOLDER).glob("*.pack"):
        os.truncate(path, path.stat().st_size - 9)
    progress = Stopping()
    lake.build_lake([str(folder)], LAKE, out, progress, 1, work=out / WORK_FOLDER)
    assert progress.resumed == 0
    assert (out / "lake.parquet").read_bytes() == before


@pytest.mark.parametrize("stop_at", [1, 9, 15, 20])
def test_the_corpus_carries_out_only_the_tasks_that_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    write_folder(tmp_path / "in", prose_files(range(40)))
    make_lake(tmp_path / "in", tmp_path / "lake")
    tasks: list[tuple[str, int]] = []
    true = run_task

    def counted(task: Task) -> int:
        tasks.append((task.out.name, task.number))
        return true(task)

    monkeypatch.setattr(passes, "run_task", counted)

    def build(out: Path, progress: SilentProgress, work: Path) -> None:
        corpus.build_corpus(tmp_path / "lake", CORPUS, out, progress, 1, work)

    stopped_and_whole(build, tmp_path / "made", stop_at)
    whole = len(set(tasks))
    assert whole > 20
    assert len(tasks) == 2 * whole  # each once undisturbed, and once in the two runs that were one


def test_when_what_is_left_cannot_be_gone_on_from_all_is_made_again(tmp_path: Path) -> None:
    write_folder(tmp_path / "in", prose_files(range(40)))
    make_lake(tmp_path / "in", tmp_path / "lake")
    out = tmp_path / "out"
    out.mkdir()
    corpus.build_corpus(tmp_path / "lake", CORPUS, out, SilentProgress(), 1, out / WORK_FOLDER)
    before = (out / "corpus.parquet").read_bytes(), (out / "set_aside.parquet").read_bytes()
    (last,) = [one for one in (out / WORK_FOLDER).glob("pass-*") if not (one / passes.SPENT).exists()]
    victim = sorted(last.glob("*.arrow"))[2]
    os.truncate(victim, victim.stat().st_size // 2)  # and what it is made of is gone
    corpus.build_corpus(tmp_path / "lake", CORPUS, out, SilentProgress(), 1, out / WORK_FOLDER)
    assert ((out / "corpus.parquet").read_bytes(), (out / "set_aside.parquet").read_bytes()) == before


@pytest.fixture(scope="module")
def made_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tokens")
    make_corpus(prose_files(range(40)), place)
    (place / "tokenizer").mkdir()
    parameters = tokenizer_defaults() | {"vocab_size": 300}
    train_tokenizer(place / "corpus", parameters, place / "tokenizer", SilentProgress())
    return place


@pytest.mark.parametrize("packing", ["concatenate", "best_fit"])
def test_the_tokens_encode_only_the_blocks_that_are_left(
    made_corpus: Path, tmp_path: Path, packing: str
) -> None:
    parameters = TOKENS | {"packing": packing, "sequence_length": 256}

    def build(out: Path, progress: SilentProgress, work: Path) -> None:
        tokens.build_tokens(
            made_corpus / "corpus", made_corpus / "tokenizer", parameters, out, progress, 1, work
        )

    whole, after = stopped_and_whole(build, tmp_path, 5)
    assert whole.advanced > 8
    assert (after.resumed, after.advanced) == (5, whole.advanced - 5)
