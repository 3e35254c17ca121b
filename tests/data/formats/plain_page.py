"""What the text of a page is, node by node: what the quick way is held against."""

from __future__ import annotations

import re
from typing import Any

from forge.data.formats.page_text import BLOCKS, CELLS, SPACES, UNSEEN, VERBATIM


def plain_text(node: Any) -> str:
    """Return what a reader sees of an element."""
    pieces: list[str] = []
    _collect(node, pieces, verbatim=False)
    text = re.sub(r"[ \t]+\n", "\n", "".join(pieces))
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n")


def _collect(node: Any, pieces: list[str], verbatim: bool) -> None:
    tag = node.tag
    if tag == "-text":
        _write(pieces, node.text_content or "", verbatim)
    elif tag == "br":
        pieces.append("\n")
    elif tag not in UNSEEN and not tag.startswith(("-", "_", "!")):
        if tag in BLOCKS:
            _end_line(pieces)
        child = node.child
        while child is not None:
            _collect(child, pieces, verbatim or tag in VERBATIM)
            child = child.next
        if tag in BLOCKS:
            _end_line(pieces)
        elif tag in CELLS:
            pieces.append("\t")


def _end_line(pieces: list[str]) -> None:
    if pieces and not pieces[-1].endswith("\n"):
        pieces.append("\n")


def _write(pieces: list[str], text: str, verbatim: bool) -> None:
    if not verbatim:
        text = SPACES.sub(" ", text)
        if not pieces or pieces[-1].endswith(("\n", " ", "\t")):
            text = text.removeprefix(" ")
    if text:
        pieces.append(text)
