"""A Slack export as its workspace's owner downloads it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

from benchmarks.messy.formats import as_json, zipped
from benchmarks.messy.pages import slug
from benchmarks.messy.plant import Message


def slack_export(messages: Sequence[Message]) -> bytes:
    """Return the archive of a Slack export that holds `messages`."""
    people = sorted({message.author for message in messages})
    ids = {name: f"U{number:05}" for number, name in enumerate(people)}
    channels = sorted({message.channel for message in messages})
    files: dict[str, bytes] = {
        "users.json": as_json(
            [
                {"id": ids[name], "name": slug(name), "real_name": name, "profile": {"real_name": name}}
                for name in people
            ]
        ),
        "channels.json": as_json(
            [
                {"id": f"C{n:05}", "name": name, "members": list(ids.values())[:5]}
                for n, name in enumerate(channels)
            ]
        ),
    }
    threads: dict[int, list[Message]] = defaultdict(list)
    for message in messages:
        threads[message.thread].append(message)
    days: dict[str, list[dict[str, str]]] = defaultdict(list)
    for number, thread in enumerate(threads.values()):
        first = thread[0]
        start = int(datetime(first.day.year, first.day.month, first.day.day, 8, tzinfo=UTC).timestamp())
        head = f"{start + number % 30000}.{number:06}"
        for place, message in enumerate(thread):
            stamp = head if place == 0 else f"{start + number % 30000 + 60 * place}.{number:06}"
            entry = {"type": "message", "user": ids[message.author], "text": message.text, "ts": stamp}
            if len(thread) > 1:
                entry["thread_ts"] = head
            days[f"{first.channel}/{first.day.isoformat()}.json"].append(entry)
    for name in sorted(days):
        files[name] = as_json(sorted(days[name], key=lambda entry: entry["ts"]))
    return zipped(files)
