"""YAML front matter: the fields between two `---` lines at the head of a text."""

from __future__ import annotations

import re
from typing import Any

import yaml

MARK = re.compile(r"---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class FrontMatterError(Exception):
    """The head of the text is marked as front matter, but is not YAML that may be read."""


def split_front_matter(text: str) -> tuple[dict[str, Any], str]:
    """Return (fields, body); ({}, text) when the text has no front matter. Lines end in a newline alone.

    Raises:
        FrontMatterError: it is not YAML, or uses aliases (a few lines of which can stand for gigabytes).
    """
    found = MARK.match(text)
    if found is None:
        return {}, text
    block = found.group(1)
    try:
        if "&" in block and any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(block, LOADER)):
            raise FrontMatterError("it uses YAML aliases")
        # The loader is one of the safe ones: plain values, no objects.
        fields = yaml.load(block, LOADER)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise FrontMatterError(" ".join(str(error).split())) from None
    if not isinstance(fields, dict):
        return {}, text  # two rules drawn across a page, with prose between them
    return {str(name): value for name, value in fields.items()}, text[found.end() :].lstrip("\n")
