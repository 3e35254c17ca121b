"""A Slack export: what was said on a day in a conversation is a document, each thread whole below what began it.

    channels.json groups.json dms.json mpims.json users.json     who and what
    <conversation>/<YYYY-MM-DD>.json                             the messages of a day

A reply on a later day stands with its thread, on the day that the thread began.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from forge.data.dates import from_epoch
from forge.data.decode import encodable
from forge.data.formats.items import Document, Skipped, Unreadable, Within, newlines
from forge.data.formats.slack_text import plain_text, rich_text

KINDS = {
    "channels.json": "public channel",
    "groups.json": "private channel",
    "mpims.json": "group message",
    "dms.json": "direct message",
}
USERS = ("users.json", "org_users.json")
DAY = re.compile(r"[^/]+/\d{4}-\d\d-\d\d\.json")
NOTICES = frozenset(
    "channel_join channel_leave channel_topic channel_purpose channel_name channel_archive channel_unarchive "
    "channel_convert_to_private channel_posting_permissions group_join group_leave group_topic group_purpose "
    "group_name group_archive group_unarchive pinned_item unpinned_item bot_add bot_remove bot_enable bot_disable "
    "reminder_add file_comment_deleted message_replied tombstone huddle_thread sh_room_created app_conversation_join "
    "app_conversation_leave ekm_access_denied assistant_app_thread document_mention".split()
)
"""Subtypes of what Slack says of itself: nobody said anything."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """One folder of an export."""

    name: str
    kind: str
    members: tuple[str, ...]


@dataclass(slots=True)
class _Message:
    seconds: float
    ts: str
    author: str
    text: str
    edited: bool
    replies: list[_Message] = field(default_factory=list)


def slack_root(names: Sequence[str]) -> str | None:
    """Return the folder ('' or with a slash at its end) in which files of these paths are a Slack export, or None."""
    found = set(names)
    for name in sorted(found):
        root, slash, last = name.rpartition("/")
        if last in USERS and any(root + slash + kind in found for kind in KINDS):
            return root + slash
    return None


def is_slack_file(name: str, root: str) -> bool:
    """True when `name` is one of an export's own files, and no file that lies among them."""
    inner = name.removeprefix(root)
    if not name.startswith(root):
        return False
    return DAY.fullmatch(inner) is not None or ("/" not in inner and inner.endswith(".json"))


def read_slack(names: Sequence[str], root: str, read: Callable[[str], bytes]) -> Iterator[Within]:
    """Yield one item for each of an export's own files: the index first, then by conversation and day.

    `read` returns the bytes of a file, or raises `Unreadable`.
    """
    users: dict[str, str] = {}
    folders: dict[str, Conversation] = {}
    conversation_names: dict[str, str] = {}
    days: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        folder, _, last = name.removeprefix(root).rpartition("/")
        if folder:
            days[folder].append(name)
            continue
        try:
            entries = _entries(read(name)) if last in USERS or last in KINDS else []
        except Unreadable as error:
            yield Within(name, Skipped(0, error.reason, error.detail))
            continue
        if last in USERS:
            users |= {str(entry.get("id")): _user_name(entry) for entry in entries}
        elif last in KINDS:
            for entry in entries:
                conversation_id = str(entry.get("id"))
                title = str(entry.get("name") or conversation_id)
                conversation_names[conversation_id] = title
                members = tuple(str(member) for member in _list(entry.get("members")))
                folder = conversation_id if last == "dms.json" else title
                folders[folder] = Conversation(title, KINDS[last], members)
        yield Within(
            name, Skipped(0, "index of an export", "it says who and what; the messages are read with it")
        )
    for folder in sorted(days):
        conversation = folders.get(folder) or Conversation(folder, "conversation", ())
        if conversation.kind in ("direct message", "group message") and conversation.members:
            people = " and ".join(users.get(one, one) for one in conversation.members)
            conversation = Conversation(people, conversation.kind, conversation.members)
        yield from _conversation(conversation, days[folder], read, users, conversation_names)


def _conversation(
    conversation: Conversation,
    names: list[str],
    read: Callable[[str], bytes],
    users: dict[str, str],
    conversations: dict[str, str],
) -> Iterator[Within]:
    left_out: dict[str, Counter[str]] = {}
    messages: dict[str, tuple[str, dict[str, Any]]] = {}
    failed: dict[str, Unreadable] = {}
    for name in names:
        left_out[name] = Counter()
        try:
            for entry in _entries(read(name)):
                _take(name, entry, messages, left_out[name])
        except Unreadable as error:
            failed[name] = error

    threads = _threads(messages, users, conversations, left_out)
    busy = {day for day, _ in messages.values()}
    for name in names:
        if name in failed:
            item: Document | Skipped = Skipped(0, failed[name].reason, failed[name].detail)
        elif name in threads:
            item = _day(conversation, threads[name], left_out[name])
        elif name in busy:
            item = Skipped(
                0, "replies only", "its messages stand with their threads, on the days those began"
            )
        else:
            noise = ", ".join(f"{count} {kind}" for kind, count in sorted(left_out[name].items()))
            item = Skipped(0, "no message by a person", noise or "no message")
        yield Within(name, item)


def _take(
    name: str, entry: dict[str, Any], messages: dict[str, tuple[str, dict[str, Any]]], left_out: Counter[str]
) -> None:
    """Put a message among `messages` by its time stamp, or count why not. An edit takes the place of what it edits."""
    kind = str(entry.get("subtype") or "")
    if kind == "message_deleted":
        messages.pop(str(entry.get("deleted_ts")), None)
        left_out["deleted"] += 1
        return
    if kind == "message_changed" and isinstance(entry.get("message"), dict):
        changed = entry["message"]
        day, _ = messages.get(str(changed.get("ts")), (name, {}))
        messages[str(changed.get("ts"))] = (day, {**changed, "edited": True})
        return
    ts = str(entry.get("ts"))
    if kind in NOTICES:
        left_out[kind] += 1
    elif kind == "bot_message" or (entry.get("bot_id") and not entry.get("client_msg_id")):
        left_out["by a bot"] += 1
    elif _seconds(ts) is None:
        left_out["without a time"] += 1
    elif ts not in messages:  # a reply that was sent to the channel as well stands twice
        messages[ts] = (name, entry)


def _threads(
    messages: dict[str, tuple[str, dict[str, Any]]],
    users: dict[str, str],
    conversations: dict[str, str],
    left_out: dict[str, Counter[str]],
) -> dict[str, list[_Message]]:
    """Return by day the messages that begin a thread or stand alone, in order, with their replies."""
    made: list[tuple[str, _Message, str]] = []
    for ts, (name, entry) in messages.items():
        message = _message(ts, entry, users, conversations)
        if message.text:
            made.append((name, message, str(entry.get("thread_ts") or ts)))
        else:
            left_out[name]["without text"] += 1
    days: dict[str, list[_Message]] = defaultdict(list)
    heads: dict[str, _Message] = {}
    # Where what began a thread is not there, its first reply begins it.
    for name, message, root in sorted(made, key=lambda entry: (entry[1].seconds, entry[1].ts)):
        if root in heads:
            heads[root].replies.append(message)
        else:
            heads[root] = message
            days[name].append(message)
    return days


def _message(
    ts: str, entry: dict[str, Any], users: dict[str, str], conversations: dict[str, str]
) -> _Message:
    raw = entry.get("text")
    text = raw if isinstance(raw, str) and raw.strip() else rich_text(entry.get("blocks") or [])
    lines = [plain_text(text, users, conversations).strip()]
    for file in _list(entry.get("files")):
        if isinstance(file, dict) and (title := file.get("title") or file.get("name")):
            lines.append(f"[file: {title}]")
    user = str(entry.get("user") or "")
    profile = entry.get("user_profile") if isinstance(entry.get("user_profile"), dict) else {}
    author = (
        users.get(user) or _user_name({"profile": profile}) or str(entry.get("username") or user or "someone")
    )
    return _Message(
        _seconds(ts) or 0.0,
        ts,
        encodable(author),
        newlines(encodable("\n".join(line for line in lines if line))),
        bool(entry.get("edited")),
    )


def _day(conversation: Conversation, roots: list[_Message], left_out: Counter[str]) -> Document:
    messages = [message for root in roots for message in (root, *root.replies)]
    authors = sorted({message.author for message in messages})
    shown = ("#" if "channel" in conversation.kind else "") + conversation.name
    metadata: dict[str, Any] = {
        "conversation": conversation.name,
        "kind": conversation.kind,
        "authors": authors,
        "messages": len(messages),
        "threads": sum(bool(root.replies) for root in roots),
        "edited": sum(message.edited for message in messages),
        "left_out": dict(sorted(left_out.items())),
    }
    blocks = [
        "\n".join([_line(root, ""), *(_line(reply, "    ") for reply in root.replies)]) for root in roots
    ]
    created = from_epoch(roots[0].seconds)
    return Document(
        0,
        "\n".join(blocks),
        "application/vnd.slack.messages+json",
        f"{shown}, {created[:10] if created else 'undated'}",
        authors[0] if len(authors) == 1 else None,
        created,
        from_epoch(max(message.seconds for message in messages)),
        group=shown,
        metadata=metadata,
    )


def _line(message: _Message, indent: str) -> str:
    when = (from_epoch(message.seconds) or "").replace("T", " ")[:16]
    return f"{indent}[{when}] {message.author}: " + message.text.replace("\n", f"\n{indent}  ")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _entries(raw: bytes) -> list[dict[str, Any]]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Unreadable("broken json", str(error)) from None
    if not isinstance(value, list):
        raise Unreadable("broken json", "not a list")
    return [entry for entry in value if isinstance(entry, dict)]


def _user_name(user: dict[str, Any]) -> str:
    profile = user.get("profile") if isinstance(user.get("profile"), dict) else {}
    assert profile is not None
    for value in (
        profile.get("real_name"),
        user.get("real_name"),
        profile.get("display_name"),
        user.get("name"),
        profile.get("name"),
    ):
        if isinstance(value, str) and value.strip():
            return encodable(value.strip())
    return ""


def _seconds(ts: str) -> float | None:
    try:
        seconds = float(ts)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None
