"""XLSX: a document a sheet, a line a row, a tab between cells; dates and percentages as such, formulas as what they
came to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Literal

from forge.data.formats.items import Content, Document, Item, Skipped, Unreadable
from forge.data.formats.office_xml import Package, local, open_package, relation
from forge.data.formats.spreadsheet_text import row_text

MIME = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
Shown = Literal["date", "duration", "percent"]
BUILT_IN: dict[int, Shown] = {
    **dict.fromkeys((*range(14, 23), 45, 47), "date"),
    46: "duration",
    **dict.fromkeys((9, 10), "percent"),
}
"""What built-in number formats show, where it is no plain number (ECMA-376 part 1, 18.8.30)."""
DURATION = re.compile(r"\[(?:h+|m+|s+)\]")
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
        styles = _styles(package, named.get("styles"))
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
                    row_text(dict(_cells(row, strings, styles, epoch)))
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


def _styles(package: Package, name: str | None) -> dict[int, Shown]:
    """Return what cell styles show, by number; those of plain numbers are left out."""
    if name is None or not package.has(name):
        return {}
    root = package.tree(name)
    formats = dict(BUILT_IN)
    for node in root.iter("{*}numFmt"):
        shown = _shown(node.get("formatCode") or "")
        if shown and (node.get("numFmtId") or "").isdigit():
            formats[int(node.get("numFmtId"))] = shown
    found: dict[int, Shown] = {}
    for styles in root.iter("{*}cellXfs"):
        for place, style in enumerate(styles):
            number = style.get("numFmtId") or ""
            if number.isdigit() and (shown := formats.get(int(number))):
                found[place] = shown
    return found


def _shown(code: str) -> Shown | None:
    """Return what a number format shows."""
    code = code.lower()
    plain = QUOTED.sub("", code)
    if "general" in plain:
        return None
    if DURATION.search(code):
        return "duration"
    if re.search("[ydhsm]", plain):
        return "date"
    return "percent" if "%" in plain else None


def _cells(
    row: Any, strings: list[str], styles: Mapping[int, Shown], epoch: datetime
) -> Iterator[tuple[int, str]]:
    column = -1
    for cell in row:
        found = COLUMN.match(cell.get("r") or "")
        column = _column(found[1]) if found else column + 1
        text = _cell(cell, strings, styles, epoch)
        if text:
            yield column, text


def _cell(cell: Any, strings: list[str], styles: Mapping[int, Shown], epoch: datetime) -> str:
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
    shown = styles.get(int(style)) if style.isdigit() else None
    if shown == "date":
        return _date(number, epoch) or value
    if shown == "duration":
        return _duration(number) or value
    return f"{100 * number:.13g}%" if shown == "percent" else f"{number:.15g}"


def _date(days: float, epoch: datetime) -> str | None:
    try:
        moment = epoch + timedelta(seconds=round(days * 86_400))
    except (OverflowError, ValueError):
        return None
    if days < 1:
        return f"{moment:%H:%M:%S}"
    return f"{moment:%Y-%m-%d}" if float(days).is_integer() else f"{moment:%Y-%m-%d %H:%M:%S}"


def _duration(days: float) -> str | None:
    try:
        minutes, seconds = divmod(round(days * 86_400), 60)
    except (OverflowError, ValueError):
        return None
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1
