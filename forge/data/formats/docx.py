"""DOCX: the text as it stands when all changes are accepted, tables by tabs, footnotes at the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from lxml import etree

from forge.data.formats.items import Content, Document, Item
from forge.data.formats.office_xml import attribute, local, open_package

MIME = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
UNSEEN = frozenset({"del", "moveFrom", "Fallback", "instrText", "delText", "pPr", "rPr", "sectPr", "tblPr"})
"""Deleted text, field codes, the older form of what stands there in a newer one too; and how it looks."""
MARKS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "softHyphen": "\xad"}


def read_docx(content: Content) -> Iterator[Item]:
    """Read a DOCX file as one document."""
    with open_package(content) as package:
        main = package.main_part()
        root = package.tree(main)
        texts = [body_text(root)]
        for kind, target in package.relations(main).values():
            if kind in ("footnotes", "endnotes") and package.has(target):
                for note in package.tree(target):
                    if attribute(note, "type") in (None, "normal"):
                        texts.append(body_text(note))
        about = package.properties()
    found = asdict(about)
    found["title"] = about.title or _styled_title(root)
    yield Document(0, "\n".join(text for text in texts if text), MIME, **found)


def body_text(root: Any) -> str:
    """Return the text below an element: a line a paragraph, or a row of a table."""
    pieces: list[str] = []
    walk = etree.iterwalk(root, events=("start", "end"))
    cells = 0
    for event, node in walk:
        name = local(node)
        if event == "start":
            if name in UNSEEN:
                walk.skip_subtree()
            elif name == "t":
                pieces.append(node.text or "")
            elif name in MARKS:
                pieces.append(" " if cells and MARKS[name] != "-" else MARKS[name])
            elif name == "tc":
                cells += 1
        elif name == "p":
            pieces.append(" " if cells else "\n")
        elif name == "tc":
            cells -= 1
            _strip_end(pieces)
            pieces.append("\t")
        elif name == "tr":
            if pieces and pieces[-1] == "\t":
                pieces.pop()
            pieces.append("\n" if not cells else " ")
    return "".join(pieces).strip("\n")


def _strip_end(pieces: list[str]) -> None:
    while pieces and pieces[-1] == " ":
        pieces.pop()


def _styled_title(root: Any) -> str:
    for paragraph in root.iter("{*}p"):
        for style in paragraph.iter("{*}pStyle"):
            if attribute(style, "val") in ("Title", "Titel", "Titre"):
                return body_text(paragraph).replace("\n", " ")
    return ""
