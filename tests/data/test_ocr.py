import importlib.util
import io
import json
from pathlib import Path

import pypdfium2
import pytest

from forge.data.ocr import check_ocr
from forge.errors import StageError
from tests.data.builders import make_lake, rows
from tests.data.formats.files import pdf_of

LINES = ["The supplier shall notify the customer", "of every delay within 14 days."]
installed = pytest.mark.skipif(
    importlib.util.find_spec("rapidocr") is None, reason="the extra forge-run[ocr] is not installed"
)


def scanned(pages: list[list[str]], plain_first: bool = False) -> bytes:
    """Return a PDF of pictures of `pages`; with `plain_first` the first page stays text."""
    source, result = pypdfium2.PdfDocument(pdf_of(pages)), pypdfium2.PdfDocument.new()
    for number, page in enumerate(source):
        if number == 0 and plain_first:
            result.import_pages(source, [0])
            continue
        image = pypdfium2.PdfImage.new(result)
        image.set_bitmap(page.render(scale=200 / 72))
        width, height = page.get_size()
        image.set_matrix(pypdfium2.PdfMatrix().scale(width, height))
        sheet = result.new_page(width, height)
        sheet.insert_obj(image)
        sheet.gen_content()
    content = io.BytesIO()
    result.save(content)
    return content.getvalue()


def lake_of(content: bytes, place: Path, ocr: bool) -> Path:
    (place / "in").mkdir()
    (place / "in" / "scan.pdf").write_bytes(content)
    (place / "in" / "note.txt").write_text("A note beside it.")
    make_lake(place / "in", place / "lake", ocr=ocr)
    return place / "lake"


def test_without_it_a_scan_is_listed(tmp_path: Path) -> None:
    (row,) = rows(lake_of(scanned([LINES]), tmp_path, ocr=False) / "set_aside.parquet")
    assert (row["path"], row["reason"]) == ("scan.pdf", "needs OCR")
    assert "data.ocr=true" in row["detail"]


def test_the_missing_extra_is_one_line_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StageError, match=r"pip install 'forge-run\[ocr\]'"):
        lake_of(scanned([LINES]), tmp_path, ocr=True)


@installed
def test_a_scan_is_read_line_by_line(tmp_path: Path) -> None:
    check_ocr()
    lake = lake_of(scanned([LINES, []]), tmp_path, ocr=True)
    (row,) = (row for row in rows(lake / "lake.parquet") if row["path"] == "scan.pdf")
    assert [" ".join(line.split()) for line in row["text"].strip().split("\n") if line.strip()] == LINES
    metadata = json.loads(row["metadata"])
    assert (metadata["pages_by_ocr"], metadata["pages_without_text"]) == ([1], [2])


@installed
def test_only_pages_without_text_are_looked_at(tmp_path: Path) -> None:
    lake = lake_of(scanned([["Plain text"], LINES], plain_first=True), tmp_path, ocr=True)
    (row,) = (row for row in rows(lake / "lake.parquet") if row["path"] == "scan.pdf")
    assert row["text"].startswith("Plain text")
    assert json.loads(row["metadata"])["pages_by_ocr"] == [2]
    assert "within 14 days" in row["text"]


@installed
def test_a_scan_of_nothing_is_set_aside(tmp_path: Path) -> None:
    (row,) = rows(lake_of(scanned([[]]), tmp_path, ocr=True) / "set_aside.parquet")
    assert row["reason"] == "no text"
