"""What front matter, records and pages say of themselves, by the names they say it under."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypedDict

from forge.data.dates import from_value
from forge.data.decode import encodable

AUTHOR = ("author", "authors", "creator", "created_by", "owner")
CREATED = (
    "created",
    "created_at",
    "created_time",
    "date",
    "published",
    "published_at",
    "publish_date",
    "creation_date",
    "issued",
    "sent",
)
MODIFIED = (
    "modified",
    "modified_at",
    "updated",
    "updated_at",
    "last_modified",
    "lastmod",
    "last_edited_time",
    "last_edited",
    "last_updated",
    "reviewed",
    "last_reviewed",
)


NAMES = frozenset({*AUTHOR, *CREATED, *MODIFIED, "title", "language", "lang", "version"})


class Described(TypedDict):
    """The columns of the lake that a document's own fields fill."""

    title: str
    author: str | None
    created: str | None
    modified: str | None
    language: str | None
    version: str | None


NOTHING: Described = {
    "title": "",
    "author": None,
    "created": None,
    "modified": None,
    "language": None,
    "version": None,
}


def described(fields: dict[str, Any], title: str = "") -> Described:
    """Return what `fields` say; `title` where they have none. The fields themselves stay in the metadata."""
    named = {_levelled(str(name)): value for name, value in fields.items()}
    if NAMES.isdisjoint(named):
        return NOTHING | {"title": title}
    return {
        "title": _text(named.get("title")) or title,
        "author": _first(_text, named, AUTHOR),
        "created": _first(from_value, named, CREATED),
        "modified": _first(from_value, named, MODIFIED),
        "language": _text(named.get("language")) or _text(named.get("lang")),
        "version": _text(named.get("version")),
    }


@functools.lru_cache(maxsize=256)
def _levelled(name: str) -> str:
    return name.lower().replace(" ", "_").replace("-", "_")


def _text(value: Any) -> str | None:
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        value = ", ".join(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)  # a version 1.2 is a number to YAML
    return encodable(value).strip() or None if isinstance(value, str) else None


def _first(meaning: Callable[[Any], str | None], named: dict[str, Any], names: tuple[str, ...]) -> str | None:
    if named.keys().isdisjoint(names):
        return None
    for name in names:
        if name in named and (found := meaning(named[name])):
            return found
    return None
