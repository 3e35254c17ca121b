import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from forge.data import tasks
from forge.data.corpus import build_corpus
from forge.data.lake import build_lake
from forge.data.shingles import Shingler
from forge.data.words import split_words
from forge.errors import StageError
from forge.progress import SilentProgress
from tests.data.builders import CORPUS, LAKE, make_corpus, make_lake, prose, prose_files, rows, write_folder

SOURCES = {"one": range(20), "two": range(20, 40), "three": range(40, 60)}


def mixed() -> dict[str, str | bytes]:
    base = prose(1000, 100)
    return (
        prose_files(range(40))
        | {
            "shout.txt": "  " + prose(3).upper() + "\n",  # an exact duplicate of 003, and longer
            "base.txt": base,
            "near.txt": base + " with a few more words",
            "family.txt": base[: len(base) * 2 // 3] + prose(1001, 30),
            "short.txt": "one two",
            "digits.txt": "12 34 56 78 90 12 34",
            "lines.txt": "the same line again\n" * 10,
            "broken.txt": prose(1002) + " the authorâ€™s",
        }
    )


def test_every_document_is_kept_or_set_aside_with_a_reason(tmp_path: Path) -> None:
    out, summary = make_corpus(mixed(), tmp_path)
    corpus, aside = rows(out / "corpus.parquet"), rows(out / "set_aside.parquet")
    ids = {row["document_id"] for row in rows(tmp_path / "lake" / "lake.parquet")}
    assert {row["document_id"] for row in corpus} | {row["document_id"] for row in aside} == ids
    assert len(corpus) + len(aside) == len(ids) == summary["documents_in"]
    assert {row["path"]: row["reason"] for row in aside} == {
        "003.txt": "exact duplicate",
        "base.txt": "near duplicate",
        "short.txt": "too few words",
        "digits.txt": "too few letters",
        "lines.txt": "repeated lines",
    }
    assert summary["set_aside"] == {
        "exact duplicate": 1,
        "near duplicate": 1,
        "repeated lines": 1,
        "too few letters": 1,
        "too few words": 1,
    }
    assert summary["repaired"] == 1
    assert summary["documents"] == len(corpus)


def test_a_duplicate_names_the_kept_one_and_its_true_jaccard(tmp_path: Path) -> None:
    out, _ = make_corpus(mixed(), tmp_path)
    kept = {row["path"]: row for row in rows(out / "corpus.parquet")}
    aside = {row["path"]: row for row in rows(out / "set_aside.parquet")}
    assert aside["003.txt"]["duplicate_of"] == kept["shout.txt"]["document_id"]
    near = aside["base.txt"]
    assert near["duplicate_of"] == kept["near.txt"]["document_id"]
    shingler = Shingler(CORPUS["shingle_words"])
    one, two = (set(shingler.shingles(split_words(text)).tolist()) for text in _base_and_near())
    true = len(one & two) / len(one | two)
    assert near["detail"].startswith(f"Jaccard {true:.4f} with {near['duplicate_of']} (near.txt)")
    assert aside["short.txt"]["duplicate_of"] is None


def _base_and_near() -> tuple[str, str]:
    files = mixed()
    base, near = files["base.txt"], files["near.txt"]
    assert isinstance(base, str)
    assert isinstance(near, str)
    return base, near


def test_rows_say_what_the_text_is(tmp_path: Path) -> None:
    out, summary = make_corpus(mixed(), tmp_path)
    corpus = rows(out / "corpus.parquet")
    for row in corpus:
        assert row["bytes"] == len(row["text"].encode())
        assert row["words"] == len(split_words(row["text"]))
    assert [row["document_id"] for row in corpus] == sorted(row["document_id"] for row in corpus)
    (mended,) = [row for row in corpus if row["path"] == "broken.txt"]
    assert mended["text"].endswith("the author’s")
    for split in ("train", "held_out"):
        own = [row for row in corpus if row["split"] == split]
        assert summary[f"{split}_documents"] == len(own) > 0
        assert summary[f"{split}_bytes"] == sum(row["bytes"] for row in own)


def test_a_family_is_never_on_both_sides(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {}
    for number in range(30):
        base = prose(number, 80)
        files |= {
            f"{number}-{part}.txt": f"{base} {prose(500 + 10 * number + part, 25)}" for part in range(3)
        }
    out, summary = make_corpus(files, tmp_path)
    sides: dict[str, set[str]] = {}
    families: dict[str, set[str]] = {}
    for row in rows(out / "corpus.parquet"):
        sides.setdefault(row["group"], set()).add(row["split"])
        families.setdefault(row["group"], set()).add(row["path"].split("-")[0])
    assert all(len(side) == 1 for side in sides.values())
    assert summary["families"] == len(families) == 30
    assert summary["largest_family_documents"] == 3
    assert all(len(family) == 1 for family in families.values())
    assert 0 < summary["held_out_bytes"] <= 0.2 * summary["bytes"]


def test_the_same_lake_is_the_same_bytes(tmp_path: Path) -> None:
    out, _ = make_corpus(mixed(), tmp_path)
    again = tmp_path / "again"
    again.mkdir()
    build_corpus(tmp_path / "lake", CORPUS, again, SilentProgress())
    for name in ("corpus.parquet", "set_aside.parquet"):
        assert (again / name).read_bytes() == (out / name).read_bytes()


def test_the_place_of_the_folder_changes_nothing_but_the_source(tmp_path: Path) -> None:
    def without_source(out: Path) -> list[dict[str, Any]]:
        return [{**row, "source": ""} for row in rows(out / "corpus.parquet")]

    one, _ = make_corpus(mixed(), tmp_path / "one")
    two, _ = make_corpus(mixed(), tmp_path / "elsewhere" / "two")
    assert without_source(one) == without_source(two)
    assert (one / "set_aside.parquet").read_bytes() == (two / "set_aside.parquet").read_bytes()


def failure(files: dict[str, str | bytes], place: Path, **parameters: Any) -> str:
    with pytest.raises(StageError) as error:
        make_corpus(files, place, **parameters)
    assert len(error.value.lines) == 1
    assert "\n" not in error.value.lines[0]
    return error.value.lines[0]


def test_all_set_aside_is_one_line_with_counts(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"a.txt": "too short", "b.txt": "1 2 3 4 5 6", "c.txt": "short too"}
    line = failure(files, tmp_path)
    assert "all 3 documents were set aside (2 too few words, 1 too few letters)" in line


def test_copies_of_one_document_cannot_be_split(tmp_path: Path) -> None:
    line = failure({f"{number}.txt": prose(1) for number in range(5)}, tmp_path)
    assert "give more distinct documents" in line


def test_few_documents_are_told_a_fraction_that_works(tmp_path: Path) -> None:
    line = failure(prose_files(range(4)), tmp_path / "one", held_out_fraction=0.05)
    fraction = float(line.split("data.held_out_fraction=")[1].split()[0])
    _, summary = make_corpus(prose_files(range(4)), tmp_path / "two", held_out_fraction=fraction)
    assert summary["held_out_documents"] == 1


def test_a_damaged_lake_is_one_line(tmp_path: Path) -> None:
    write_folder(tmp_path / "in", {"a.txt": "x"})
    make_lake(tmp_path / "in", tmp_path / "lake")
    (tmp_path / "lake" / "lake.parquet").write_bytes(b"PAR1")
    with pytest.raises(StageError, match="not a whole lake") as error:
        build_corpus(tmp_path / "lake", CORPUS, tmp_path, SilentProgress())
    assert len(error.value.lines) == 1


def test_workers_and_the_order_of_rows_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [*CORPUS["curate"], "paragraphs"]
    out, _ = make_corpus(mixed(), tmp_path, curate=steps)
    table = parquet.read_table(tmp_path / "lake" / "lake.parquet")
    (tmp_path / "shuffled").mkdir()
    # Backwards and in many row groups: other files in another order make other tasks.
    parquet.write_table(
        table.take(list(range(len(table)))[::-1]), tmp_path / "shuffled" / "lake.parquet", row_group_size=7
    )
    monkeypatch.setattr(tasks, "BUCKET_BYTES", 4_000)
    again = tmp_path / "again"
    again.mkdir()
    parameters = CORPUS | {"curate": steps}
    build_corpus(tmp_path / "shuffled", parameters, again, SilentProgress(), workers=2)
    for name in ("set_aside.parquet", "changed.parquet"):
        assert (again / name).read_bytes() == (out / name).read_bytes()
    # The number of buckets sets the row groups: the rows are the same.
    assert rows(again / "corpus.parquet") == rows(out / "corpus.parquet")
    assert not (again / "work").exists()


def test_each_step_accounts_for_what_it_took_and_changed(tmp_path: Path) -> None:
    out, summary = make_corpus(mixed() | {"secret.txt": f"{prose(2000)} AKIAIOSFODNN7QXZMPLE"}, tmp_path)
    steps = summary["steps"]
    assert [step["step"] for step in steps] == CORPUS["curate"]
    assert steps[0]["documents_in"] == summary["documents_in"]
    for one, two in itertools.pairwise(steps):
        assert two["documents_in"] == one["documents_in"] - one["set_aside"]
    assert steps[-1]["documents_in"] - steps[-1]["set_aside"] == summary["documents"]
    aside, changed = rows(out / "set_aside.parquet"), rows(out / "changed.parquet")
    for step in steps:
        assert (
            step["set_aside"]
            == sum(row["step"] == step["step"] for row in aside)
            == sum(step["reasons"].values())
        )
        assert step["changed"] == sum(row["step"] == step["step"] for row in changed)
        assert len(step["samples"]) >= min(1, step["set_aside"] + step["changed"])
    assert {(row["path"], row["step"]) for row in changed} == {
        ("broken.txt", "repair"),
        ("secret.txt", "redact"),
    }
    (secret,) = [row for row in changed if row["step"] == "redact"]
    assert secret["detail"] == "1 aws_key"
    (kept,) = [row for row in rows(out / "corpus.parquet") if row["path"] == "secret.txt"]
    assert kept["text"] == f"{prose(2000)} <AWS_KEY_1>"


def test_what_says_that_it_is_over_goes(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "old.md": f"This page is no longer maintained.\n\n{prose(1)}",
        "ended.md": f"This offer is valid until 31 December 2024.\n\n{prose(2)}",
        "mail.eml": f"From: a@b\nSubject: x\n\nThis page is no longer maintained.\n\n{prose(3)}",
    }
    for number, (day, gone) in enumerate(((None, {"old.md"}), ("2026-06-30", {"old.md", "ended.md"}))):
        out, _ = make_corpus(
            prose_files(range(10, 15)) | files, tmp_path / str(number), curate=["stale"], stale_on=day
        )
        aside = {row["path"]: row for row in rows(out / "set_aside.parquet")}
        assert aside.keys() == gone
        assert aside["old.md"]["reason"] == "says that it is superseded"
    assert aside["ended.md"]["score"] == 546


def test_a_step_that_is_not_named_is_not_done(tmp_path: Path) -> None:
    out, summary = make_corpus(mixed(), tmp_path, curate=[])
    assert summary["set_aside"] == {}
    assert len(rows(out / "corpus.parquet")) == summary["documents_in"]


def test_of_old_documents_fewer_are_kept_the_older_they_are(tmp_path: Path) -> None:
    """Two hundred of each of three ages; half of those a half-life old, a quarter of those twice as old."""
    half_lives = {prose(number, 20): number % 3 for number in range(600)}
    lines = (
        json.dumps({"text": text, "updated": f"{2026 - 3 * age}-06-30"}) for text, age in half_lives.items()
    )
    make_lake(write_folder(tmp_path / "source", {"notes.jsonl": "\n".join(lines)}), tmp_path / "lake")
    parameters = CORPUS | {"curate": ["age"], "age_half_life_years": 3, "age_on": "2026-06-30"}
    kept: list[Counter[int]] = []
    for number, steps in enumerate((["age"], ["age", "exact_duplicates"])):
        out = tmp_path / str(number)
        out.mkdir()
        build_corpus(tmp_path / "lake", parameters | {"curate": steps}, out, SilentProgress())
        left = rows(out / "corpus.parquet")
        kept.append(Counter(half_lives[row["text"]] for row in left))
        aside = rows(out / "set_aside.parquet")
        assert sum(kept[-1].values()) + len(aside) == 600
        assert {(row["step"], row["reason"]) for row in aside} == {("age", "thinned by age")}
        assert {round(row["score"], 2) for row in aside} == {0.5, 0.25}
    assert kept[0] == kept[1]
    # Three standard deviations of as many throws.
    assert kept[0][0] == 200
    assert 79 <= kept[0][1] <= 121
    assert 32 <= kept[0][2] <= 68


def test_each_source_has_a_cap_of_its_own(tmp_path: Path) -> None:
    places = [write_folder(tmp_path / name, prose_files(seeds, 30)) for name, seeds in SOURCES.items()]
    (tmp_path / "lake").mkdir()
    build_lake([str(place) for place in places], LAKE, tmp_path / "lake", SilentProgress())
    caps = {str(places[0]): 600, str(places[1]): None, str(places[2]): 1_500}
    (tmp_path / "corpus").mkdir()
    build_corpus(
        tmp_path / "lake",
        CORPUS | {"curate": ["cap"], "source_cap_bytes": caps},
        tmp_path / "corpus",
        SilentProgress(),
    )
    sizes: Counter[str] = Counter()
    for row in rows(tmp_path / "corpus" / "corpus.parquet"):
        sizes[row["source"]] += row["bytes"]
    whole = sum(path.stat().st_size for path in places[1].iterdir())
    assert 300 < sizes[str(places[0])] <= 600
    assert sizes[str(places[1])] == whole
    assert 1_200 < sizes[str(places[2])] <= 1_500


def test_boilerplate_versions_paragraphs_and_caps(tmp_path: Path) -> None:
    shared = prose(900, 30)
    files: dict[str, str | bytes] = {
        f"{number:02}.txt": f"ACME page {number}\n\n{prose(number)}\n\n{shared}\n\nAll rights reserved"
        for number in range(20)
    }
    files |= {"plan_v1.md": prose(50), "plan_v2.md": prose(50, 70)}
    out, _ = make_corpus(
        files, tmp_path, curate=["boilerplate", "superseded", "paragraphs", "cap"], source_cap_bytes=4_000
    )
    aside = rows(out / "set_aside.parquet")
    assert {row["path"] for row in aside if row["reason"] == "superseded"} == {"plan_v1.md"}
    corpus = rows(out / "corpus.parquet")
    texts = [row["text"] for row in corpus]
    assert not any("ACME" in text or "rights" in text for text in texts)
    assert sum(shared in text for text in texts) <= 1
    capped = [row for row in aside if row["reason"] == "over the cap"]
    assert capped
    assert all(row["score"] > 0 for row in capped)
    assert len(corpus) + len(aside) == 22
