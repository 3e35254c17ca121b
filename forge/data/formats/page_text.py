"""The text of an HTML page: what a reader sees, one line a block, nothing judged away."""

from __future__ import annotations

import re
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
LINE_ENDS = re.compile(r"[ \t]+\n")
BLANK_LINES = re.compile(r"\n{3,}")
CHARSET = re.compile(rb"""<meta[^>]+?charset\s*=\s*["']?([A-Za-z0-9_:.-]+)""", re.IGNORECASE)
CHARSET_WITHIN_BYTES = 1024  # as the HTML standard's prescan


def declared_charset(content: bytes) -> str | None:
    """Return the encoding a page says it has, or None."""
    found = CHARSET.search(content, 0, CHARSET_WITHIN_BYTES)
    return found.group(1).decode("ascii") if found else None


def node_text(node: Any) -> str:
    """Return what a reader sees of an element of a page.

    White space is as a browser shows it: collapsed, but kept in `pre`. Table cells are parted by tabs. Scripts, styles
    and other unseen elements are left out; navigation and footers are not guessed at.
    """
    pieces: list[str] = []
    _collect(node, pieces)
    # Within `pre` nothing was collapsed; these touch only the ends of lines and runs of empty ones.
    text = LINE_ENDS.sub("\n", "".join(pieces))
    return BLANK_LINES.sub("\n\n", text).strip("\n")


def line_of(node: Any) -> str:
    """Return the text of an element on one line; '' for None."""
    return SPACES.sub(" ", node.text()).strip() if node is not None else ""


def read_page(html: str) -> tuple[str, str, str | None]:
    """Return (text, title, language) of a page; title '' and language None where it gives none."""
    tree = LexborHTMLParser(html)
    if tree.root is None:
        return "", "", None
    return node_text(tree.root), line_of(tree.css_first("title")), tree.root.attributes.get("lang") or None


def _collect(root: Any, pieces: list[str]) -> None:
    # An explicit stack, for pages nest deeper than Python recurses: a node and whether its white space counts, or
    # what ends an element.
    stack: list[tuple[Any, bool]] = [(root, False)]
    while stack:
        node, verbatim = stack.pop()
        if isinstance(node, str):
            _end(pieces, node)
            continue
        tag = node.tag
        if tag == "-text":
            _write(pieces, node.text_content or "", verbatim)
        elif tag == "br":
            pieces.append("\n")
        elif tag not in UNSEEN and not tag.startswith(("-", "_", "!")):
            if tag in BLOCKS:
                _end(pieces, "\n")
                stack.append(("\n", False))
            elif tag in CELLS:
                stack.append(("\t", False))
            children = []
            child = node.child
            while child is not None:
                children.append((child, verbatim or tag in VERBATIM))
                child = child.next
            stack.extend(reversed(children))


def _end(pieces: list[str], mark: str) -> None:
    """End a cell (tab) or a block (newline, once)."""
    if mark == "\t" or (pieces and not pieces[-1].endswith("\n")):
        pieces.append(mark)


def _write(pieces: list[str], text: str, verbatim: bool) -> None:
    if not verbatim:
        text = SPACES.sub(" ", text)
        if not pieces or pieces[-1].endswith(("\n", " ", "\t")):
            text = text.removeprefix(" ")
    if text:
        pieces.append(text)
