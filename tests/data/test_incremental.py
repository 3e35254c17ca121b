"""A corpus of a lake that shares most of its texts with an earlier one: only what is new is found out."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from forge.data import boilerplate, overlaps, paragraphs, task_work, tasks
from forge.data.corpus import build_corpus
from forge.data.document_steps import DOCUMENT_STEPS
from forge.data.shingles import shingle_sets
from forge.data.signatures import Known, known_of
from forge.progress import SilentProgress
from tests.data.builders import CORPUS, make_lake, prose, rows, write_folder

STEPS = ["repair", "exact_duplicates", "near_duplicates", "superseded", "redact"]


class Work:
    """Counts shingle sets made, pairs of sets counted out, and documents that steps looked at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.signatures = self.pairs = self.steps = 0
        self.notes: Counter[str] = Counter()
        shingle, count, repair = shingle_sets, overlaps.Block.overlaps, DOCUMENT_STEPS["repair"]

        def shingled(texts: Any, *rest: Any) -> Any:
            self.signatures += len(texts)
            return shingle(texts, *rest)

        def counted(block: Any, probes: Any, others: Any) -> Any:
            self.pairs += len(probes)
            return count(block, probes, others)

        def repaired(drafts: Any, parameters: Any) -> Any:
            self.steps += len(drafts)
            return repair(drafts, parameters)

        for module, name in (
            (boilerplate, "edge_hashes"),
            (paragraphs, "paragraph_hashes"),
            (task_work, "read_stated"),
        ):
            monkeypatch.setattr(module, name, self.noting(name, getattr(module, name)))
        monkeypatch.setitem(DOCUMENT_STEPS, "repair", repaired)
        monkeypatch.setattr(task_work, "shingle_sets", shingled)
        monkeypatch.setattr(overlaps.Block, "overlaps", counted)

    def noting(self, name: str, note: Any) -> Any:
        def noted(text: str, *rest: Any) -> Any:
            self.notes[name] += 1
            return note(text, *rest)

        return noted

    def take(self) -> tuple[int, int]:
        found = self.signatures, self.pairs
        self.signatures = self.pairs = self.steps = 0
        self.notes.clear()
        return found


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    monkeypatch.setattr(tasks, "BUCKET_BYTES", 50_000)
    monkeypatch.setattr(task_work, "SLICE_ROWS", 7)
    return Work(monkeypatch)


def near_copies(families: int, copies: int) -> dict[str, str | bytes]:
    files: dict[str, str | bytes] = {}
    for family in range(families):
        words = prose(family, 120).split()
        for copy in range(copies):
            chance = random.Random(1_000 * family + copy)
            own = list(words)
            for _ in range(chance.randint(1, 12)):
                own[chance.randrange(len(own))] = prose(chance.randrange(10**6), 1)
            files[f"{family:03}-{copy}.txt"] = " ".join(own)
    return files


def corpus(
    place: Path, name: str, known: Path | None, workers: int | None = None, steps: Sequence[str] = STEPS
) -> Path:
    out = place / name
    out.mkdir()
    parameters = CORPUS | {"curate": list(steps), "min_paragraph_words": 20}
    build_corpus(place / "lake", parameters, out, SilentProgress(), workers, known=Known("so", known))
    return out


def content(folder: Path) -> dict[str, bytes]:
    """Return a corpus and what it remembers, but for what hangs on how that was found out."""
    files = (
        path for path in folder.iterdir() if not path.match("elements*") and not path.match("*.edges.npy")
    )
    return {path.name: path.read_bytes() for path in files}


@pytest.fixture
def places(tmp_path: Path, work: Work) -> tuple[Path, Path, Path]:
    """Corpus of 600 documents, and the place of a lake with six more."""
    files = near_copies(100, 6)
    write_folder(tmp_path / "one" / "in", files)
    make_lake(tmp_path / "one" / "in", tmp_path / "one" / "lake")
    earlier = corpus(tmp_path / "one", "corpus", None)
    more: dict[str, str | bytes] = {
        f"{path[:3]}-new.txt": f"{text!s} and more" for path, text in list(files.items())[::120]
    }
    more["new.txt"] = prose(9_999)
    write_folder(tmp_path / "two" / "in", files | more)
    make_lake(tmp_path / "two" / "in", tmp_path / "two" / "lake")
    work.take()
    return tmp_path / "one", tmp_path / "two", earlier


def test_a_hundredth_more_costs_a_hundredth_and_the_bytes_are_those_of_a_whole_pass(
    places: tuple[Path, Path, Path], work: Work
) -> None:
    _, place, earlier = places
    again = corpus(place, "again", earlier)
    assert work.steps == 6
    new_signatures, new_pairs = work.take()
    whole = corpus(place, "whole", None)
    assert work.steps == 606
    signatures, pairs = work.take()
    assert content(again) == content(whole)
    assert {"outcomes-0.arrow", "outcomes-1.arrow"} <= set(content(again))
    assert {"near_duplicates.arrow", "families.arrow", "signatures.npy"} <= set(content(again))
    assert sorted(path.name for path in again.glob("families*")) == ["families.arrow", "families.edges.npy"]
    first = [(folder / "elements-0.u32").stat().st_ino for folder in (earlier, again, whole)]
    assert first[0] == first[1] != first[2]
    assert (new_signatures, signatures) == (6, 606)
    assert pairs > 900
    # A pair has two ends, and either join counts out all that are alike one new text in its first elements.
    assert new_pairs <= 0.1 * pairs


def test_what_went_and_what_changed_is_as_in_a_whole_pass(
    places: tuple[Path, Path, Path], work: Work
) -> None:
    one, place, earlier = places
    for path in sorted((one / "in").iterdir())[::45]:
        path.unlink()
    for path in sorted((one / "in").iterdir())[::70]:
        path.write_text(path.read_text() + " changed")
    make_lake(one / "in", place / "another" / "lake")
    again = corpus(place / "another", "again", earlier)
    new_signatures, new_pairs = work.take()
    whole = corpus(place / "another", "whole", None)
    signatures, pairs = work.take()
    assert content(again) == content(whole)
    assert new_signatures < 0.05 * signatures
    assert new_pairs < 0.5 * pairs


def test_workers_find_the_signatures_too(places: tuple[Path, Path, Path], work: Work) -> None:
    _, place, earlier = places
    assert content(corpus(place, "again", earlier, workers=2)) == content(corpus(place, "whole", None))


def test_what_is_noted_of_a_text_is_noted_once(tmp_path: Path, work: Work) -> None:
    steps = ("repair", "boilerplate", "exact_duplicates", "superseded", "paragraphs", "quality")
    texts = {
        f"{family:03}-v{part}.txt": text for family in range(40) for part, text in enumerate(versions(family))
    }
    more = {f"{family:03}-v0.txt": versions(family)[0] for family in range(40, 42)}
    for name, files in (("one", texts), ("two", texts | more)):
        write_folder(tmp_path / name / "in", files)
        make_lake(tmp_path / name / "in", tmp_path / name / "lake")
    earlier = corpus(tmp_path / "one", "corpus", None, steps=steps)
    assert set(work.notes) == {"edge_hashes", "paragraph_hashes", "read_stated"}
    work.take()
    again = corpus(tmp_path / "two", "again", earlier, steps=steps)
    assert work.notes == {"edge_hashes": 2, "paragraph_hashes": 2, "read_stated": 2}
    whole = corpus(tmp_path / "two", "whole", None, steps=steps)
    assert content(again) == content(whole)
    reasons = {row["step"] for row in rows(whole / "set_aside.parquet")}
    changes = {row["step"] for row in rows(whole / "changed.parquet")}
    assert reasons == {"superseded"}
    assert changes == {"boilerplate", "paragraphs"}


def versions(family: int) -> list[str | bytes]:
    """Return two versions of a document with a header, and with a paragraph that all documents have."""
    shared, own = prose(77, 40), prose(1_000 + family, 200)
    return [
        "\n\n".join(
            ["Handbook of the works", f"Version: {part}", own, shared, prose(family + part, 30), "The end"]
        )
        for part in (1, 2)
    ]


def test_the_earlier_corpus_that_shares_most_is_taken(places: tuple[Path, Path, Path]) -> None:
    _, place, earlier = places
    write_folder(place / "less" / "in", near_copies(12, 6))
    make_lake(place / "less" / "in", place / "less" / "lake")
    less = corpus(place / "less", "corpus", None)
    (place / "empty").mkdir()
    folders = [less, earlier, place / "empty", place / "none"]
    assert known_of(folders, place / "lake", "so") == Known("so", earlier)
    assert known_of([less], place / "lake", "so") == Known("so", less)
    assert known_of(folders, place / "lake", "otherwise") == Known("otherwise", None)


def test_other_limits_are_asked_anew(places: tuple[Path, Path, Path], work: Work) -> None:
    _, place, earlier = places

    def made(name: str, known: Path | None) -> dict[str, bytes]:
        (place / name).mkdir()
        parameters = CORPUS | {"curate": ["repair", "quality"], "max_words": 121}
        build_corpus(place / "lake", parameters, place / name, SilentProgress(), known=Known("so", known))
        return content(place / name)

    first = made("first", earlier)
    assert work.steps == 606
    work.take()
    # What set a document aside is remembered as well as what changed it.
    assert made("second", place / "first") == first == made("third", None)
    assert work.steps == 606
