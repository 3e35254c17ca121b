"""Tables and settings against prose."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from forge.data.audit.audit import audit
from forge.data.audit.settings import code_claims, table_claims
from forge.progress import SilentProgress

WIKI = (
    "# Blue Heron\n\nThe upload limit of Blue Heron is 20 MB.\n\nEvery team that uses Blue Heron knows it.\n"
)


def conflicts(tmp_path: Path, name: str, content: str, wiki: str = WIKI) -> list[set[str]]:
    (tmp_path / "wiki.md").write_text(wiki)
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    report = audit([str(tmp_path)], date(2026, 6, 30), None, SilentProgress())
    assert all(one["subject"] == "blue heron" for one in report["conflicts"])
    return [{one[side]["value"] for side in ("first", "second")} for one in report["conflicts"]]


@pytest.mark.parametrize(
    ("name", "content", "value"),
    [
        ("blue-heron.csv", "setting,value\nmax_upload_mb,50\nregion,7\n", "50"),
        ("limits.csv", "Product,Upload limit (MB),Owner\nBlue Heron,50,Jane Doe\nRed Fox,70,Bob\n", "50"),
        (
            "limits.csv",
            "Product;What;Value\nBlue Heron;upload limit;50 MB\nRed Fox;upload limit;9 MB\n",
            "50 MB",
        ),
        ("blue_heron/app.yaml", "server:\n  max_upload_mb: 50  # a file\n", "50"),
        ("blue_heron/app.ini", "[x]\nmax.upload.mb = 50\n", "50"),
        ("blue_heron/app.json", '{\n  "maxUploadMb": 50,\n  "x": 1\n}\n', "50"),
        ("blue_heron/limits.py", "MAX_UPLOAD_MB: int = 50\n\n\ndef f(x):\n    return x\n", "50"),
    ],
)
def test_a_setting_contradicts_a_page(tmp_path: Path, name: str, content: str, value: str) -> None:
    assert conflicts(tmp_path, name, content) == [{"20 MB", value}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("blue-heron.csv", "setting,value\nmax_upload_mb,20\n"),  # the same
        ("blue-heron.csv", "setting,value\nmax_upload_kb,20000\n"),  # the same in another unit
        ("blue-heron.csv", "setting,value\nmax_upload,50\n"),  # no unit
        ("blue-heron.csv", "setting,value\nmax_download_mb,50\n"),
        ("blue-heron.csv", "setting,value\nupload_mb,50\n"),  # of what
        ("blue-heron.csv", "setting,value\nmax_upload_mb,50\nmax_upload_mb,60\n"),
        ("other.csv", "setting,value\nmax_upload_mb,50\n"),  # nothing names it
        ("limits.csv", "Month,Upload limit (MB)\nBlue Heron,50\n"),  # one of many rows
        ("limits.csv", "Product,Upload limit (MB)\nBlue Heron Staging,50\n"),
        ("blue_heron/staging.yaml", "max_upload_mb: 50\n"),
        ("blue_heron/tests/app.yaml", "max_upload_mb: 50\n"),
        ("blue_heron/limits.py", "max_upload_mb = 50\n"),  # a variable
        ("blue_heron/limits.py", "MAX_UPLOAD_MB = 5 * base\n"),
        ("blue_heron/old.yaml", "old_max_upload_mb: 50\n"),
        ("blue_heron/CHANGELOG.csv", "setting,value\nmax_upload_mb,50\n"),
    ],
)
def test_what_need_not_contradict_it_does_not(tmp_path: Path, name: str, content: str) -> None:
    assert conflicts(tmp_path, name, content) == []


def test_a_claim_shows_its_row_and_line() -> None:
    (claim,) = table_claims(3, "setting\tvalue\nname\tx\nretention_days\t30", "Blue Heron")
    assert (claim.line, claim.sentence, claim.shown_value) == (3, "retention_days | 30", "30")
    (claim,) = code_claims(3, "a = 1\nRETENTION_DAYS = 30  # kept", "text/x-python", "Blue Heron")
    assert (claim.line, claim.sentence, claim.shown_value) == (2, "RETENTION_DAYS = 30  # kept", "30")


def test_a_long_table_is_data() -> None:
    rows = "\n".join(f"k{n}_{'a' * n}_mb\t{n}" for n in range(1, 300))
    assert list(table_claims(0, f"setting\tvalue\n{rows}", "Blue Heron")) == []
