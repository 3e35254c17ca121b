from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.audit import TARGETS, scores
from benchmarks.messy_folder import make_folder
from forge.data.audit.audit import audit
from forge.data.audit.boilerplate import LineCounter
from forge.data.audit.fix import fix_spec
from forge.data.audit.token_count import Sample, bytes_per_token
from forge.errors import StageError
from forge.progress import SilentProgress

AS_OF = date(2026, 6, 30)
TOKEN = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT" + "5vW7yZ9bC1dF3gH5"


def look(folder: Path) -> dict[str, Any]:
    return audit([str(folder)], AS_OF, None, SilentProgress())


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("messy")
    labels = make_folder(folder, "dev", 3, 0.05)
    return folder, labels, look(folder)


def test_a_small_messy_folder_is_scored_as_asked(messy: tuple[Path, Any, dict[str, Any]]) -> None:
    _, labels, report = messy
    for one in scores(report, labels):
        if one.name in TARGETS:
            precision, recall = TARGETS[one.name]
            assert one.precision >= precision, one
            assert one.recall >= recall, one


def test_the_same_folder_has_the_same_report(messy: tuple[Path, Any, dict[str, Any]], tmp_path: Path) -> None:
    folder, labels, report = messy
    again = make_folder(tmp_path / "again", "dev", 3, 0.05)
    assert again == labels
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert all(
        (tmp_path / "again" / path.relative_to(folder)).read_bytes() == path.read_bytes() for path in files
    )
    assert look(folder) == report


def test_every_file_is_accounted_for_and_every_link_opens(messy: tuple[Path, Any, dict[str, Any]]) -> None:
    _, _, report = messy
    text = json.dumps(report)
    links = {part.split('"')[0] for part in text.split('"link": "')[1:]}
    assert links
    for link in links:
        assert link.startswith("file:///")
    for key in ("by_source", "by_type", "by_year", "by_language"):
        rows = report["volume"][key]
        assert sum(row["documents"] for row in rows) == report["volume"]["documents"]
        assert sum(row["bytes"] for row in rows) == report["volume"]["bytes"]
    assert sum(row["documents"] for row in report["quality"]["histogram"]) == report["volume"]["documents"]
    usable = report["usable"]
    assert usable["documents"] + sum(usable["left_out"].values()) == report["volume"]["documents"]


def test_the_fix_names_steps_that_the_findings_call_for(messy: tuple[Path, Any, dict[str, Any]]) -> None:
    _, _, report = messy
    text = fix_spec(report, Path("recipes/clean.yaml"))
    spec = yaml.safe_load(text)["data"]
    assert "path" not in spec  # which a recipe may not say
    assert {"superseded", "exact_duplicates", "near_duplicates", "redact"} <= set(spec["curate"])
    assert len(spec["redact_kinds"]) == len(report["secrets"]["by_kind"])
    assert f"# {len(report['conflicts'])} conflicts" in text


def test_a_clean_folder_has_no_findings_and_asks_for_little(tmp_path: Path) -> None:
    (tmp_path / "one.md").write_text(
        "# Lamps\n\nA lamp stands beside the door of the house, and it is lit at night.\n"
    )
    report = look(tmp_path)
    for key in ("versions", "stale", "conflicts", "boilerplate", "without_text"):
        assert report[key] == []
    assert report["advice"]["recommendation"] == "retrieval"
    assert yaml.safe_load(fix_spec(report, Path("recipes/clean.yaml")))["data"]["curate"] == [
        "repair",
        "quality",
    ]


def test_no_value_of_a_secret_is_in_the_report(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / f"note-{number}.md").write_text(
            f"# Keys\n\nThe limit of Blue Heron is {number + 1} GB, token {TOKEN}.\n\n"
            f"Every note ends with {TOKEN} like this.\n"
        )
    report = look(tmp_path)
    assert report["secrets"]["by_kind"] == [
        {"kind": "github_token", "personal": False, "values": 12, "documents": 6}
    ]
    assert report["conflicts"]
    assert TOKEN not in json.dumps(report) + fix_spec(report, Path("recipes/clean.yaml"))


def test_prose_with_marks_is_read_as_prose(tmp_path: Path) -> None:
    (tmp_path / "a.rst").write_text(
        "Limits\n======\n\nThe Blue Heron service allows 600 requests per minute.\n"
    )
    (tmp_path / "b.txt").write_text("The Blue Heron service allows 900 requests per minute. Be kind to it.\n")
    (tmp_path / "c.py").write_text("# The Blue Heron service allows 300 requests per minute.\n")
    [found] = look(tmp_path)["conflicts"]
    assert {found[side]["document"]["path"] for side in ("first", "second")} == {"a.rst", "b.txt"}


def test_nothing_there_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="does not exist"):
        look(tmp_path / "missing")
    with pytest.raises(StageError, match="no files"):
        look(tmp_path)


def test_lines_are_counted_once_a_document_and_rare_ones_forgotten() -> None:
    lines = LineCounter(window_lines=10)
    for number in range(40):
        lines.add(
            "s",
            number,
            f"the same footer everywhere\nthe same footer everywhere\nonly in document number {number}",
        )
    [found] = lines.repeated()
    assert (found.line, found.documents, found.first_document) == ("the same footer everywhere", 40, 0)
    assert len(lines._counts) < 40


def test_the_sample_does_not_depend_on_the_order() -> None:
    texts = {f"id{n}": f"text number {n} " * 20 for n in range(60)}
    one, other = Sample(4_000), Sample(4_000)
    for name, text in texts.items():
        one.add(name, text)
    for name, text in reversed(texts.items()):
        other.add(name, text)
    assert one.pieces() == other.pieces()
    assert 4_000 <= sum(map(len, one.pieces())) < 5_000


def test_bytes_per_token_has_an_interval_around_it() -> None:
    measured = bytes_per_token([f"lamp {n} stands beside door {n % 7} " * 30 for n in range(40)])
    assert measured.low <= measured.middle <= measured.high
    middle, low, high = measured.tokens(10_000)
    assert low <= middle <= high
    assert "too few" in bytes_per_token(["one", "two"]).how
