"""Slack's mark-up, made readable: who and what is meant instead of ids."""

from __future__ import annotations

import re
from typing import Any

MARK = re.compile(r"<([^<>\s][^<>\n]*)>")
ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))


def plain_text(text: str, users: dict[str, str], conversations: dict[str, str]) -> str:
    """Return a message's text with mentions, links and entities resolved. Ids that nobody knows stay."""

    def meaning(found: re.Match[str]) -> str:
        target, _, label = found[1].partition("|")
        kind, rest = target[0], target[1:]
        if kind == "@":
            return "@" + (users.get(rest) or label or rest)
        if kind == "#":
            return "#" + (label or conversations.get(rest) or rest)
        if kind == "!":
            return label or "@" + rest.partition("^")[0]
        address = target.removeprefix("mailto:").removeprefix("tel:")
        return f"{label} ({address})" if label and label not in (target, address) else address

    text = MARK.sub(meaning, text)
    for entity, character in ENTITIES:
        text = text.replace(entity, character)
    return text


def rich_text(blocks: Any) -> str:
    """Return the text of a message that has it in `blocks` alone, in the mark-up that `plain_text` reads."""
    pieces: list[str] = []
    waiting = [blocks]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(reversed(node))
        elif isinstance(node, dict):
            kind = node.get("type")
            if kind == "user":
                pieces.append(f"<@{node.get('user_id', '')}>")
            elif kind == "channel":
                pieces.append(f"<#{node.get('channel_id', '')}>")
            elif kind == "link":
                pieces.append(f"<{node.get('url', '')}|{node.get('text') or node.get('url', '')}>")
            elif kind == "emoji":
                pieces.append(f":{node.get('name', '')}:")
            elif isinstance(node.get("text"), str):
                pieces.append(node["text"])
            else:
                if kind in ("rich_text_section", "rich_text_preformatted") and pieces:
                    pieces.append("\n")
                waiting.append(node.get("text") or node.get("elements") or [])
    return "".join(pieces).strip()
