"""A text as sentences, wherever its format breaks lines: paragraphs, bullets, headings, chat messages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

WRAPPED_CHARACTERS = 55
"""A line shorter than this was not broken for lack of room."""
MOST_SENTENCE_CHARACTERS = 400

CHAT_LINE = re.compile(r"^\s*\[\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d)?Z?\]\s+[^:\n]{1,80}:\s+")
HEADING = re.compile(r"^\s{0,3}#{1,6}\s+(.*?)\s*#*$")
BULLET = re.compile(r"^\s*(?:[-*•‣–]|\d{1,3}[.)]|[a-z][.)])\s+")
QUOTED = re.compile(r"^\s*>")
SENTENCE_END = re.compile(r"(?<=[.!?…])[\"')\]]*\s+(?=[\"'(\[]*[A-Z0-9€$£])")
ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|approx|no|nr|vs|dr|mr|mrs|ms|st|fig|sec|ca|etc|incl|max|min|tel|ext|inc|ltd|co|corp)\.)$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence and what stands over it."""

    text: str
    heading: str
    line: int
    """Line of the text it begins on, from 1."""


def sentences(text: str) -> Iterator[Sentence]:
    """Yield the sentences of `text`. Lines quoted from other letters and table rows are left out."""
    heading = ""
    block: list[str] = []
    began = 1
    for number, raw in enumerate(text.split("\n"), start=1):
        chat = CHAT_LINE.match(raw)
        line = raw[chat.end() :].strip() if chat else raw.strip()
        found = HEADING.match(raw)
        stops = not line or found or QUOTED.match(raw) or _is_row(raw)
        starts = chat or BULLET.match(raw) or (block and not _goes_on(block[-1], line))
        if block and (stops or starts):
            yield from _split(" ".join(block), heading, began)
            block = []
        if found:
            heading = found.group(1)
        elif not stops:
            if not block:
                began = number
            block.append(BULLET.sub("", line))
    if block:
        yield from _split(" ".join(block), heading, began)


def _goes_on(previous: str, line: str) -> bool:
    """Whether `line` continues a paragraph that was wrapped after `previous`."""
    if len(previous) < WRAPPED_CHARACTERS:
        return False
    return not previous.endswith((":", ";")) or line[:1].islower()


def _is_row(line: str) -> bool:
    return "\t" in line.strip() or line.lstrip().startswith("|") or line.count("   ") >= 2


def _split(paragraph: str, heading: str, line: int) -> Iterator[Sentence]:
    start = 0
    for found in SENTENCE_END.finditer(paragraph):
        if ABBREVIATION.search(paragraph[start : found.start()]):
            continue
        yield from _one(paragraph[start : found.start()], heading, line)
        start = found.end()
    yield from _one(paragraph[start:], heading, line)


def _one(text: str, heading: str, line: int) -> Iterator[Sentence]:
    text = text.strip()
    if 0 < len(text) <= MOST_SENTENCE_CHARACTERS:
        yield Sentence(text, heading, line)
