"""PPTX: the slides in order, then what the speaker noted to each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from lxml import etree

from forge.data.formats.items import Content, Document, Item
from forge.data.formats.office_xml import Package, local, open_package, relation

MIME = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
SLIDE_END = "\n\f"
"""Between slides, as between the pages of a PDF."""


def read_pptx(content: Content) -> Iterator[Item]:
    """Read a PPTX file as one document."""
    with open_package(content) as package:
        main = package.main_part()
        relations = package.relations(main)
        order = [relation(node) for node in _named(package.tree(main), "sldId")]
        slides = []
        title = ""
        for key in order:
            kind, target = relations.get(key, ("", ""))
            if kind != "slide" or not package.has(target):
                continue
            root = package.tree(target)
            title = title or _title(root)
            slides.append("\n".join(filter(None, (_text(root), _notes(package, target)))))
        about = package.properties()
    found = asdict(about)
    found["title"] = about.title or title
    yield Document(0, SLIDE_END.join(slides), MIME, **found, metadata={"slides": len(slides)})


def _notes(package: Package, slide: str) -> str:
    for kind, target in package.relations(slide).values():
        if kind == "notesSlide" and package.has(target):
            text = "\n".join(
                _text(shape) for shape in _named(package.tree(target), "sp") if _placeholder(shape) == "body"
            )
            return f"Notes: {text}" if text.strip() else ""
    return ""


def _text(root: Any) -> str:
    pieces: list[str] = []
    walk = etree.iterwalk(root, events=("start", "end"))
    cells = 0
    for event, node in walk:
        name = local(node)
        if event == "start":
            if name == "Fallback" or (name == "fld" and node.get("type") == "slidenum"):
                walk.skip_subtree()
            elif name == "t":
                pieces.append(node.text or "")
            elif name == "br":
                pieces.append(" " if cells else "\n")
            elif name == "tc":
                cells += 1
        elif name == "p":
            pieces.append(" " if cells else "\n")
        elif name == "tc":
            cells -= 1
            if pieces and pieces[-1] == " ":
                pieces.pop()
            pieces.append("\t")
        elif name == "tr":
            if pieces and pieces[-1] == "\t":
                pieces.pop()
            pieces.append("\n")
    lines = (line.rstrip(" ") for line in "".join(pieces).split("\n"))
    return "\n".join(line for line in lines if line.strip())


def _title(root: Any) -> str:
    for shape in _named(root, "sp"):
        if _placeholder(shape) in ("title", "ctrTitle"):
            return _text(shape).replace("\n", " ")
    return ""


def _placeholder(shape: Any) -> str | None:
    return next((node.get("type") for node in _named(shape, "ph")), None)


def _named(root: Any, name: str) -> Iterator[Any]:
    yield from root.iter(f"{{*}}{name}")
