"""XLSX: a document a sheet, a line a row, a tab between cells; dates as dates, formulas as what they came to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from forge.data.formats.items import Content, Document, Item, Skipped, Unreadable
from forge.data.formats.office_xml import Package, local, open_package, relation
from forge.data.formats.spreadsheet_text import row_text

MIME = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
DATE_FORMATS = frozenset({*range(14, 23), *range(45, 48)})
"""Built-in number formats that show a date or time (ECMA-376 part 1, 18.8.30)."""
QUOTED = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]|_.')
COLUMN = re.compile(r"([A-Z]{1,3})\d+")


def read_xlsx(content: Content) -> Iterator[Item]:
    """Read an XLSX file: part 1 is the first sheet."""
    with open_package(content) as package:
        main = package.main_part()
        workbook = package.tree(main)
        relations = package.relations(main)
        epoch = _epoch(workbook)
        named = {kind: target for kind, target in relations.values() if kind in ("sharedStrings", "styles")}
        strings = _shared_strings(package, named.get("sharedStrings"))
        date_styles = _date_styles(package, named.get("styles"))
        about = asdict(package.properties())
        about["title"] = ""
        for part, sheet in enumerate(workbook.iter("{*}sheet"), start=1):
            kind, target = relations.get(relation(sheet), ("", ""))
            title = sheet.get("name") or f"Sheet {part}"
            if kind != "worksheet":
                yield Skipped(part, "no text", f"{title}: a {kind or 'missing sheet'}")
                continue
            try:
                rows = [
                    row_text(dict(_cells(row, strings, date_styles, epoch)))
                    for row in package.elements(target, "row")
                ]
            except Unreadable as error:
                yield Skipped(part, error.reason, error.detail)
                continue
            about["title"] = title
            yield Document(part, "\n".join(rows).strip("\n"), MIME, **about, metadata={"sheet": title})


def _epoch(workbook: Any) -> datetime:
    for node in workbook.iter("{*}workbookPr"):
        if node.get("date1904") in ("1", "true"):
            return datetime(1904, 1, 1)
    return datetime(1899, 12, 30)  # day 60, which never was, makes this right from March 1900 on


def _shared_strings(package: Package, name: str | None) -> list[str]:
    if name is None or not package.has(name):
        return []
    return [_string(node) for node in package.elements(name, "si")]


def _string(node: Any) -> str:
    """Return the text of a string, without how it is pronounced."""
    return "".join(
        text.text or ""
        for text in node.iter("{*}t")
        if text.getparent() is None or local(text.getparent()) != "rPh"
    )


def _date_styles(package: Package, name: str | None) -> frozenset[int]:
    """Return which cell styles show a date."""
    if name is None or not package.has(name):
        return frozenset()
    root = package.tree(name)
    formats = set(DATE_FORMATS)
    for node in root.iter("{*}numFmt"):
        code = QUOTED.sub("", node.get("formatCode") or "").lower()
        if re.search("[ydhs]|m", code) and "general" not in code and (node.get("numFmtId") or "").isdigit():
            formats.add(int(node.get("numFmtId")))
    dated = set()
    for styles in root.iter("{*}cellXfs"):
        for place, style in enumerate(styles):
            if (style.get("numFmtId") or "").isdigit() and int(style.get("numFmtId")) in formats:
                dated.add(place)
    return frozenset(dated)


def _cells(
    row: Any, strings: list[str], date_styles: frozenset[int], epoch: datetime
) -> Iterator[tuple[int, str]]:
    column = -1
    for cell in row:
        found = COLUMN.match(cell.get("r") or "")
        column = _column(found[1]) if found else column + 1
        text = _cell(cell, strings, date_styles, epoch)
        if text:
            yield column, text


def _cell(cell: Any, strings: list[str], date_styles: frozenset[int], epoch: datetime) -> str:
    kind = cell.get("t") or "n"
    if kind == "inlineStr":
        return _string(cell)
    value = next((node.text or "" for node in cell if local(node) == "v"), "")
    if kind == "s":
        return strings[int(value)] if value.isdigit() and int(value) < len(strings) else ""
    if kind == "b":
        return "TRUE" if value == "1" else "FALSE"
    if kind != "n" or not value:
        return value
    try:
        number = float(value)
    except ValueError:
        return value
    style = cell.get("s") or ""
    if style.isdigit() and int(style) in date_styles:
        return _date(number, epoch) or value
    return f"{number:.15g}"


def _date(days: float, epoch: datetime) -> str | None:
    try:
        moment = epoch + timedelta(seconds=round(days * 86_400))
    except (OverflowError, ValueError):
        return None
    if days < 1:
        return f"{moment:%H:%M:%S}"
    return f"{moment:%Y-%m-%d}" if float(days).is_integer() else f"{moment:%Y-%m-%d %H:%M:%S}"


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1
