"""What the text of a page is, node by node: what the quick way is held against."""

from __future__ import annotations

import re
from typing import Any, Literal

from forge.data.formats.page_text import BLOCKS, CELLS, SPACES, UNSEEN, VERBATIM

Mark = Literal["block", "break", "cell begins", "cell ends"]
LINE_MARKS = ("block", "break")


def plain_text(node: Any) -> str:
    """Return what a reader sees of an element."""
    pieces: list[str] = []
    marks: list[Mark] = []
    tokens: list[tuple[Mark | None, str, bool]] = []
    _collect(node, tokens, verbatim=False)
    for mark, text, verbatim in tokens:
        if mark is not None:
            marks.append(mark)
        elif not (marks and not verbatim and text == " "):  # white space between marks
            _write_marks(pieces, marks)
            _write(pieces, text if verbatim or not marks else text.removeprefix(" "), verbatim)
            marks = []
    _write_marks(pieces, marks)
    text = re.sub(r"[ \t]+\n", "\n", "".join(pieces))
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n")


def _collect(node: Any, tokens: list[tuple[Mark | None, str, bool]], verbatim: bool) -> None:
    tag = node.tag
    if tag == "-text":
        text = node.text_content or ""
        tokens.append((None, text if verbatim else SPACES.sub(" ", text), verbatim))
    elif tag == "br":
        tokens.append(("break", "", False))
    elif tag not in UNSEEN and not tag.startswith(("-", "_", "!")):
        begins: Mark | None = "block" if tag in BLOCKS else "cell begins" if tag in CELLS else None
        if begins:
            tokens.append((begins, "", False))
        child = node.child
        while child is not None:
            _collect(child, tokens, verbatim or tag in VERBATIM)
            child = child.next
        if begins:
            tokens.append(("block" if begins == "block" else "cell ends", "", False))


def _write_marks(pieces: list[str], marks: list[Mark]) -> None:
    unseen: set[int] = set()
    tabs: set[int] = set()
    for place, mark in enumerate(marks):
        if mark != "cell ends":
            continue
        if marks[place + 1 : place + 2] == ["cell begins"]:
            tabs.add(place)
            before = place
            while before and marks[before - 1] in LINE_MARKS:
                before -= 1
            if not before or marks[before - 1] != "cell ends":
                unseen.update(range(before, place))
            after = place + 2
            while after < len(marks) and marks[after] in LINE_MARKS:
                after += 1
            if after == len(marks) or marks[after] != "cell begins":
                unseen.update(range(place + 2, after))
        elif marks[place + 1 : place + 2] != ["block"]:
            tabs.add(place)
    for place, mark in enumerate(marks):
        if place in tabs:
            pieces.append("\t")
        elif place not in unseen and (
            mark == "break" or (mark == "block" and pieces and not pieces[-1].endswith("\n"))
        ):
            pieces.append("\n")


def _write(pieces: list[str], text: str, verbatim: bool) -> None:
    if not verbatim and (not pieces or pieces[-1].endswith(("\n", " ", "\t"))):
        text = text.removeprefix(" ")
    if text:
        pieces.append(text)
