"""HTML pages: those of the web as they are, those of Confluence and Notion exports without their frame."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from selectolax.lexbor import LexborHTMLParser

from forge.data.dates import from_text
from forge.data.decode import decode, encodable
from forge.data.formats.fields import Described, described
from forge.data.formats.items import Content, Document, Item, newlines
from forge.data.formats.page_text import declared_charset, line_of, node_text

META_NAMES = {
    "author": "author",
    "dc.creator": "author",
    "article:author": "author",
    "article:published_time": "created",
    "dc.date": "created",
    "dcterms.created": "created",
    "date": "created",
    "article:modified_time": "modified",
    "dcterms.modified": "modified",
    "last-modified": "modified",
}
"""`meta` elements by name or property, and the column they fill."""

CONFLUENCE_DATE = re.compile(r"\bon +([A-Z][a-z]+ \d{1,2}, \d{4})")
NOTION_DATE = re.compile(r"@?([A-Z][a-z]+ \d{1,2}, \d{4}(?: \d{1,2}:\d\d [AP]M)?)")


def read_html(content: Content) -> Iterator[Item]:
    """Read an HTML page as one document."""
    raw = content.read()
    html, encoding = decode(raw, declared_charset(raw))
    # Lone surrogates could come from an odd encoding; the parser takes UTF-8 only.
    tree = LexborHTMLParser(encodable(newlines(html)))
    root = tree.root
    if root is None:
        return
    metadata: dict[str, Any] = {} if encoding.startswith("utf") else {"encoding": encoding}
    found = _page_fields(tree)
    found["language"] = root.attributes.get("lang") or None
    if (main := tree.css_first("#main-content")) is not None and tree.css_first("#title-text") is not None:
        found, own = _confluence(tree, found)
    elif (main := tree.css_first("article.page > .page-body")) is not None:
        found, own = _notion(tree, found)
    else:
        main, own = root, {}
    pieces = [main, *_comments(tree)] if own.get("wiki") == "Confluence" else [main]
    text = "\n\n".join(filter(None, map(node_text, pieces)))
    yield Document(0, text, "text/html", **found, metadata=metadata | own)


def _page_fields(tree: Any) -> Described:
    fields: dict[str, Any] = {}
    for node in tree.css("meta[content]"):
        name = (node.attributes.get("name") or node.attributes.get("property") or "").lower()
        if column := META_NAMES.get(name):
            fields.setdefault(column, node.attributes.get("content"))
    return described(fields, line_of(tree.css_first("title")))


def _confluence(tree: Any, found: Described) -> tuple[Described, dict[str, Any]]:
    """Return the columns and metadata of a page of a Confluence space export: the chrome round the page tells them."""
    space, _, title = line_of(tree.css_first("#title-text")).partition(" : ")
    found["title"] = title or space
    about = tree.css_first(".page-metadata")
    if about is not None:
        found["author"] = line_of(about.css_first(".author")) or found["author"]
        if dates := CONFLUENCE_DATE.findall(line_of(about)):
            found["modified"] = from_text(dates[-1])
    crumbs = [line_of(node) for node in tree.css("#breadcrumbs li")]
    return found, {"wiki": "Confluence", "space": space if title else None, "breadcrumbs": crumbs}


def _comments(tree: Any) -> list[Any]:
    """Return the part of a Confluence page in which people answer it, if there is one."""
    return [part for part in tree.css(".pageSection") if part.css_first("#comments") is not None]


def _notion(tree: Any, found: Described) -> tuple[Described, dict[str, Any]]:
    """Return the columns and metadata of a page of a Notion export: its properties stand in a table above the text."""
    found["title"] = line_of(tree.css_first("article.page .page-title")) or found["title"]
    properties: dict[str, str] = {}
    for row in tree.css("table.properties tr"):
        name, value = line_of(row.css_first("th")), line_of(row.css_first("td"))
        if not name:
            continue
        properties[name] = value
        kind = row.attributes.get("class") or ""
        date = NOTION_DATE.search(value)
        if "created_time" in kind and date:
            found["created"] = from_text(date[1])
        elif "last_edited_time" in kind and date:
            found["modified"] = from_text(date[1])
        elif "created_by" in kind or (name.lower() in ("author", "owner") and not found["author"]):
            found["author"] = value or None
    return found, {"wiki": "Notion", "properties": properties}
