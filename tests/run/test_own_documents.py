"""A folder of PDF files, a Slack export and pages, to a trained model: and where every file and document went."""

from __future__ import annotations

import html
import json
import textwrap
import zipfile
from collections import Counter
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from tests.data.builders import prose, write_folder
from tests.data.formats.files import pdf_of
from tests.data.formats.test_slack import export, said
from tests.run.small import forge_run

pytestmark = pytest.mark.slow

FOOTER = "Internal, not for the public. Page 1 of 1"
TOKEN = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT" + "5vW7yZ9bC1dF3gH5"


def pdf(text: str) -> bytes:
    return pdf_of([["The firm", *textwrap.wrap(text, 80), FOOTER]])


def page(title: str, text: str) -> str:
    return f"<html><head><title>{title}</title></head><body><nav>Home</nav><p>{html.escape(text)}</p></body></html>"


def write_files(folder: Path) -> Path:
    """Write what a firm has: most is good, some is said twice, old, broken or empty."""
    files: dict[str, str | bytes] = {f"pdf/{seed:03}.pdf": pdf(prose(seed, 90)) for seed in range(30)}
    files |= {f"web/{seed:03}.html": page(f"Page {seed}", prose(seed, 90)) for seed in range(100, 130)}
    days = {
        f"general/2024-01-{day:02}.json": [
            said(1440 * day + 5 * n, prose(1000 + 20 * day + n, 20), "U1" if n % 2 else "U2")
            for n in range(6)
        ]
        for day in range(5, 15)
    }
    days["general/2024-01-20.json"] = [said(0, "", subtype="channel_join")]
    files |= {
        "slack.zip": export(days),
        "pdf/again.pdf": pdf(prose(3, 90)),
        "web/nearly.html": page("Page", f"{prose(105, 90)} and one more"),
        "web/short.html": page("Short", "Too little."),
        "web/secret.html": page("Keys", f"{prose(300, 90)} the token {TOKEN} is in it"),
        "pdf/scan.pdf": pdf_of([[], []]),
        "pdf/cut.pdf": pdf(prose(400, 90))[:300],
        "pdf/empty.pdf": b"",
        "picture.bin": b"\x00\x01\x02\x03",
    }
    return write_folder(folder, files)


def files_of(folder: Path) -> list[str]:
    """Return every file of `folder`, those in archives in place of the archive."""
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                found += [f"{name}/{inner}" for inner in archive.namelist()]
        elif path.is_file():
            found.append(name)
    return found


def test_every_file_and_document_is_accounted_for(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "firm")
    done = forge_run(
        folder,
        tmp_path,
        "+recipe=legal_tiny",
        "train.tokens=2560",
        "train.steps=null",
        "evaluate.prompts=[ba]",
    )
    assert done.returncode == 0, done.stderr
    tables = {
        (stage, name): parquet.read_table(
            next((tmp_path / "artifacts").glob(f"{stage}-*")) / f"{name}.parquet"
        )
        for stage, name in (
            ("lake", "lake"),
            ("lake", "set_aside"),
            ("corpus", "corpus"),
            ("corpus", "set_aside"),
        )
    }
    read = tables["lake", "lake"].to_pylist()
    unread = tables["lake", "set_aside"].to_pylist()
    kept = tables["corpus", "corpus"].to_pylist()
    dropped = tables["corpus", "set_aside"].to_pylist()

    # Files seen = files that were read + files set aside; documents read = documents kept + documents set aside.
    assert Counter(row["path"] for row in [*read, *unread]) == Counter(files_of(folder))
    assert all(row["reason"] and row["detail"] for row in [*unread, *dropped])
    assert sorted(row["document_id"] for row in read) == sorted(
        row["document_id"] for row in [*kept, *dropped]
    )
    lake = json.loads(next((tmp_path / "artifacts").glob("lake-*/artifact.json")).read_text())["summary"]
    assert lake["files"] == len(files_of(folder)) == lake["files_with_documents"] + lake["files_set_aside"]

    assert {row["path"]: row["reason"] for row in unread} == {
        "slack.zip/users.json": "index of an export",
        "slack.zip/channels.json": "index of an export",
        "slack.zip/general/2024-01-20.json": "no message by a person",
        "pdf/scan.pdf": "needs OCR",
        "pdf/cut.pdf": "broken pdf",
        "pdf/empty.pdf": "empty",
        "picture.bin": "unsupported format",
    }
    assert Counter(row["reason"] for row in dropped) == {
        "exact duplicate": 1,
        "near duplicate": 1,
        "too few words": 1,
    }
    text = "".join(row["text"] for row in kept)
    assert TOKEN not in text
    assert "<GITHUB_TOKEN_1>" in text
    assert FOOTER not in text
    for name in ("lake", "corpus"):
        assert f"artifacts/{name}-" in done.stdout.split("what was left out, and why:")[1].split("load it")[0]
    assert (next((tmp_path / "artifacts").glob("export-*")) / "hf" / "model.safetensors").is_file()
