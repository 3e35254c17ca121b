"""Plain text, Markdown, reStructuredText and the texts of licensedcode-data: each file one document."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from forge.data.decode import file_text
from forge.data.formats.fields import described
from forge.data.formats.front_matter import FrontMatterError, split_front_matter
from forge.data.formats.items import Content, Document, Item, Unreadable

RST_RULE = re.compile(r"([=\-`:.'\"~^_*+#<>])\1{2,}\s*")
RST_FIELD = re.compile(r":([A-Za-z][\w -]{0,40}):[ \t]+(\S.*)")
NOTION_NAME = re.compile(r".* [0-9a-f]{32}\.md")
"""A page exported by Notion; its properties stand below its heading, `Owner: Jane Doe`."""
NOTION_FIELD = re.compile(r"([A-Z][\w &/()-]{0,40}): (\S.*)")
RST_FIELD_LINES = 40
"""A document's own fields stand at its head."""


def read_text(content: Content) -> Iterator[Item]:
    """Read plain text."""
    text, metadata = file_text(content.read())
    yield Document(0, text, "text/plain", metadata=metadata)


def read_markdown(content: Content) -> Iterator[Item]:
    """Read Markdown as it is; front matter becomes metadata when it is some."""
    text, metadata = file_text(content.read())
    try:
        fields, body = split_front_matter(text)
    except FrontMatterError:
        fields, body = {}, text  # two rules across the page look the same, and are no fault of the document
    heading = next((line[2:].strip() for line in body.splitlines() if line.startswith("# ")), "")
    if not fields and NOTION_NAME.fullmatch(PurePosixPath(content.name).name):
        fields = _notion_fields(body)
    yield Document(0, body, "text/markdown", **described(fields, heading), metadata=metadata | fields)


def _notion_fields(body: str) -> dict[str, str]:
    """Return a page's properties: the lines between its heading and the next empty one, if all of them are some."""
    paragraphs = body.strip().split("\n\n", 2)
    if len(paragraphs) < 2 or not paragraphs[0].startswith("# "):
        return {}
    found = [NOTION_FIELD.fullmatch(line) for line in paragraphs[1].split("\n")]
    return {field[1]: field[2] for field in found if field} if all(found) else {}


def read_licence(content: Content) -> Iterator[Item]:
    """Read a licence text or rule of licensedcode-data: YAML front matter, then the text."""
    text, metadata = file_text(content.read())
    try:
        fields, body = split_front_matter(text)
    except FrontMatterError as error:
        raise Unreadable("broken front matter", str(error)) from None
    found = described(fields)
    found["title"] = str(fields.get("name") or fields.get("key") or "")
    yield Document(0, body, "text/plain", **found, metadata=metadata | fields)


def read_rst(content: Content) -> Iterator[Item]:
    """Read reStructuredText as it is; its title and the field list at its head are metadata as well."""
    text, metadata = file_text(content.read())
    lines = text.split("\n", RST_FIELD_LINES)[:RST_FIELD_LINES]
    fields = {found[1].lower(): found[2].strip() for line in lines if (found := RST_FIELD.fullmatch(line))}
    yield Document(0, text, "text/x-rst", **described(fields, _rst_title(lines)), metadata=metadata | fields)


def _rst_title(lines: list[str]) -> str:
    for line, below in itertools.pairwise(lines):
        title = line.strip()
        if (
            title
            and not RST_RULE.fullmatch(line)
            and RST_RULE.fullmatch(below)
            and len(below.strip()) >= len(title)
        ):
            return title
    return ""
