"""The text of an HTML page: what a reader sees, one line a block, nothing judged away."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator
from typing import Any

from selectolax.lexbor import LexborHTMLParser

UNSEEN = frozenset({"script", "style", "noscript", "template", "svg", "head", "iframe", "object", "select"})
BLOCKS = frozenset(
    "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption figure "
    "footer form h1 h2 h3 h4 h5 h6 header hgroup hr legend li main menu nav ol p pre section summary table tbody "
    "tfoot thead tr ul".split()
)
CELLS = frozenset({"td", "th"})
VERBATIM = frozenset({"pre", "textarea"})

SPACES = re.compile(r"[ \t\n\r\f]+")
SEVERAL_SPACES = re.compile(b"  +")
LINE_ENDS = re.compile(rb"(?<![ \t])[ \t]+\n")
BLANK_LINES = re.compile(rb"\n\n\n+")
CHARSET = re.compile(rb"""<meta[^>]+?charset\s*=\s*["']?([A-Za-z0-9_:.-]+)""", re.IGNORECASE)
CHARSET_WITHIN_BYTES = 1024  # as the HTML standard's prescan

# Marks in the text of a page begin with a byte that no parser leaves in one: it is dropped, or replaced.
BLOCK, BREAK = b"\0b", b"\0r"
CELL_BEGINS, CELL_ENDS = b"\0s", b"\0t"
VERBATIM_BEGINS, VERBATIM_ENDS = b"\0v", b"\0w"
UNSEEN_BEGINS, UNSEEN_ENDS = b"\0u", b"\0x"
UNSEEN_BORDER = re.compile(rb"(\0[ux])")
VERBATIM_BORDER = re.compile(rb"(\0[vw])")
MARKS = re.compile(rb"(\0. ?(?:\0. ?)*)")
NEXT_CELL = re.compile(rb"(?:(?<!\0t|\0b|\0r)(?:\0[br])++)?\0t\0s(?:(?:\0[br])++(?!\0s))?")
"""From one cell to the next. Paragraphs at their edges, as wikis and word processors write them, end no line; a table
in a cell does."""

SPACE_BYTES = b" \t\n\r\f"
AS_SPACE = bytes.maketrans(SPACE_BYTES, b"     ")
KEPT_BYTES = b"\xff\xfe\xfd\xfc\xfb"
"""What stands for white space that is kept: bytes that UTF-8 does not use."""
AS_KEPT, AS_SHOWN = bytes.maketrans(SPACE_BYTES, KEPT_BYTES), bytes.maketrans(KEPT_BYTES, SPACE_BYTES)
KEPT_WORD_ENDS, KEPT_LINE_END = KEPT_BYTES[:3], KEPT_BYTES[2:3]
BLOCKS_AT_LINE_END = re.compile(KEPT_LINE_END + rb"(?:\0[bs] ?|\0t ?(?=\0b))+")


def declared_charset(content: bytes) -> str | None:
    """Return the encoding a page says it has, or None."""
    found = CHARSET.search(content, 0, CHARSET_WITHIN_BYTES)
    return found.group(1).decode("ascii") if found else None


def node_text(node: Any) -> str:
    """Return what a reader sees of an element of a page; marks are left in its tree, so whatever else is asked of that
    comes first.

    White space is as a browser shows it: collapsed, but kept in `pre`. A row of a table is a line, tabs between its
    cells, unless a cell has lines of its own. Scripts, styles and other unseen elements are left out; navigation and
    footers are not guessed at.
    """
    text = _marked_text(node)
    if UNSEEN_BEGINS in text:
        text = b"".join(piece for piece, depth in _by_depth(text, UNSEEN_BORDER, UNSEEN_BEGINS) if not depth)
    if keeps_spaces := VERBATIM_BEGINS in text:
        text = b"".join(_with_kept_spaces(text))
    text = SEVERAL_SPACES.sub(b" ", text.translate(AS_SPACE))
    if keeps_spaces:
        text = BLOCKS_AT_LINE_END.sub(KEPT_LINE_END, text)
    pieces = MARKS.split(text.removeprefix(b" "))
    pieces[1::2] = map(_shown, pieces[1::2])
    text = b"".join(pieces).replace(b" \n", b"\n")
    if keeps_spaces:
        text = _without_blank_ends(text.translate(AS_SHOWN))
    return text.strip(b"\n").decode()


def line_of(node: Any) -> str:
    """Return the text of an element on one line; '' for None."""
    return SPACES.sub(" ", node.text()).strip() if node is not None else ""


def read_page(html: str) -> tuple[str, str, str | None]:
    """Return (text, title, language) of a page; title '' and language None where it gives none."""
    tree = LexborHTMLParser(html)
    if tree.root is None:
        return "", "", None
    title = line_of(tree.css_first("title"))
    return node_text(tree.root), title, tree.root.attributes.get("lang") or None


def _marked_text(node: Any) -> bytes:
    """Return all text of an element as UTF-8, with marks where elements that have some begin and end.

    The parser goes through the tree; a step of Python is taken for an element, and more only for one that is marked.
    """
    marks = _marks()
    own_before, own_after = marks.get(node.tag_id, (b"", b""))
    below = itertools.islice(node.traverse(), 1, None)
    marked = [(one, marks[one.tag_id]) for one in below if one.tag_id in marks]
    for one, (before, after) in marked:
        one.insert_before(before)
        if after:
            one.insert_after(after)
    text: str = node.text()
    return own_before + text.encode() + own_after


@functools.cache
def _marks() -> dict[int, tuple[bytes, bytes]]:
    """Return what is put before and after an element, by the number the parser knows its name by."""
    marks = {name: (BLOCK, BLOCK) for name in BLOCKS}
    marks |= {name: (CELL_BEGINS, CELL_ENDS) for name in CELLS}
    marks |= {name: (UNSEEN_BEGINS, UNSEEN_ENDS) for name in UNSEEN}
    marks["br"] = BREAK, b""
    for name in VERBATIM:
        before, after = marks.get(name, (b"", b""))
        marks[name] = before + VERBATIM_BEGINS, VERBATIM_ENDS + after
    tree = LexborHTMLParser("")
    return {tree.create_node(name).tag_id: both for name, both in marks.items()}


def _by_depth(text: bytes, border: re.Pattern[bytes], begins: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield the pieces of a text between marks, and how many elements with such marks each is in."""
    depth = 0
    pieces = border.split(text)
    yield pieces[0], depth
    for mark, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        depth += 1 if mark == begins else -1
        yield piece, depth


def _with_kept_spaces(text: bytes) -> Iterator[bytes]:
    """Yield the pieces of a text, white space marked where it is kept, and dropped behind what was."""
    last = b""
    for piece, depth in _by_depth(text, VERBATIM_BORDER, VERBATIM_BEGINS):
        if depth:
            piece = piece.translate(AS_KEPT)
        elif last and last in KEPT_WORD_ENDS:
            piece = piece.lstrip(SPACE_BYTES)
        yield piece
        last = piece[-1:] or last


@functools.lru_cache(maxsize=4096)
def _shown(marks: bytes) -> bytes:
    """Return what a run of marks, and white space behind them, looks like."""
    marks = NEXT_CELL.sub(b"\t", marks.replace(b" ", b"")).replace(CELL_BEGINS, b"")
    marks = marks.replace(CELL_ENDS + BLOCK, BLOCK)  # the last of a row
    # A block begins and ends a line, unless one has just begun.
    while BLOCK * 2 in marks:
        marks = marks.replace(BLOCK * 2, BLOCK)
    marks = marks.replace(BREAK + BLOCK, BREAK)
    return _without_blank_ends(marks.replace(BLOCK, b"\n").replace(BREAK, b"\n").replace(CELL_ENDS, b"\t"))


def _without_blank_ends(text: bytes) -> bytes:
    """Return `text` without white space at the ends of lines, and at most one empty line in a row."""
    if b" \n" in text or b"\t\n" in text:
        text = LINE_ENDS.sub(b"\n", text)
    return BLANK_LINES.sub(b"\n\n", text)
