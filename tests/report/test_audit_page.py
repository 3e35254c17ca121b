from __future__ import annotations

import re
import shutil
import subprocess
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import pytest

from forge.data.audit.audit import audit
from forge.progress import SilentProgress
from forge.report.audit_page import SECTIONS, audit_page

VOID = {"meta", "br"}


class Balance(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.targets: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            if name == "href" and value:
                self.targets.add(value)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("docs")
    (folder / "a<b>&.md").write_text(
        "# <script>alert(1)</script>\n\nThe limit of Blue Heron is 5 GB & more.\n"
    )
    (folder / "c.md").write_text("# Notes\n\nThe limit of Blue Heron is 7 GB.\n\nThis page is obsolete.\n")
    (folder / "d.md").write_text("# Other\n\nThe limit of Blue Heron is 9 GB.\n")
    (folder / "empty.txt").write_text("")
    return audit_page(audit([str(folder)], date(2026, 6, 30), None, SilentProgress()))


def test_it_is_one_well_formed_file_that_fetches_nothing(page: str) -> None:
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    assert {key for key, _ in SECTIONS} <= balance.ids
    assert not re.search(r"<script|<link|<img|<iframe|@import|url\(|https?://", page)
    assert all(target.startswith(("#", "file:///")) for target in balance.targets)


def test_what_documents_say_is_text(page: str) -> None:
    assert "<script>alert" not in page
    assert "a&lt;b&gt;&amp;.md" in page


def test_it_is_for_dark_and_for_paper(page: str) -> None:
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


def test_conflicts_show_both_passages(page: str) -> None:
    assert "<mark>5 GB</mark>" in page
    assert "<mark>9 GB</mark>" in page


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_a_browser_shows_it(page: str, tmp_path: Path) -> None:
    file = tmp_path / "audit.html"
    file.write_text(page, encoding="utf-8")
    shown = subprocess.run(
        [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path}/profile",
            "--dump-dom",
            file.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    assert "What this data can do" in shown
    assert shown.count("<h2>") == len(SECTIONS)
