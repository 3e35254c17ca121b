from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_main import forge


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "a.md").write_text("# Heron\n\nThe limit of Blue Heron is 5 GB for all of its customers.\n")
    (folder / "b.md").write_text("# Notes\n\nAs agreed the limit of Blue Heron is 7 GB.\n")
    return folder


def test_it_prints_a_summary_and_writes_three_files(documents: Path, tmp_path: Path) -> None:
    shown = forge(
        "audit", str(documents), "-o", "out", "--fix", "fix.yaml", "--parameters", "125M", cwd=tmp_path
    )
    assert shown.returncode == 0, shown.stderr
    assert "\x1b" not in shown.stdout
    for expected in (
        "2 in 2 files",
        "blue heron",
        "a.md:3",
        f"to act on it: FORGE_RECIPE_PATH={tmp_path} forge-run +recipe=fix data.path={documents}",
        "125M parameters ask for 2.5B tokens",
        "retrieval",
    ):
        assert expected in shown.stdout
    report = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert len(report["conflicts"]) == 1
    assert (tmp_path / "out" / "audit.html").read_text().startswith("<!doctype html>")
    assert "curate:" in (tmp_path / "fix.yaml").read_text()
    again = forge("audit", str(documents), "-o", "out", "--fix", "fix.yaml", cwd=tmp_path)
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("missing",), 4, "missing: does not exist"),
        (("documents", "--parameters", "huge"), 2, "--parameters: huge: is no size of a model"),
        (("documents", "--fix", "fix.yml"), 2, "--fix: fix.yml: is no name of a recipe"),
        (("documents", "--fix", "mine.yaml"), 2, "mine.yaml: is there and was not written by an audit"),
    ],
)
def test_mistakes_are_one_line(
    documents: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\n")
    shown = forge("audit", *arguments, cwd=tmp_path)
    assert shown.returncode == code
    assert message in shown.stderr
    assert len(shown.stderr.strip().splitlines()) == 1
    assert (tmp_path / "mine.yaml").read_text() == "name: mine\n"
