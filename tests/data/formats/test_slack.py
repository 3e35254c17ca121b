import json
from pathlib import Path
from typing import Any

import pytest

from forge.data.formats.items import Document, Skipped
from forge.data.formats.slack_text import plain_text, rich_text
from tests.data.formats.files import read_deep, zip_of

T0 = 1_704_445_920  # 2024-01-05 09:12 UTC


def said(minutes: float, text: str, user: str = "U1", **more: Any) -> dict[str, Any]:
    return {"type": "message", "user": user, "ts": f"{T0 + 60 * minutes:.6f}", "text": text, **more}


def export(files: dict[str, Any], root: str = "") -> bytes:
    everything = {
        "users.json": [
            {"id": "U1", "name": "jane", "profile": {"real_name": "Jane Doe"}},
            {"id": "U2", "name": "bob", "profile": {"real_name": "", "display_name": "Bob"}},
        ],
        "channels.json": [{"id": "C1", "name": "general", "members": ["U1", "U2"]}],
        **files,
    }
    return zip_of({root + name: json.dumps(content) for name, content in everything.items()})


def days(path: Path, files: dict[str, Any]) -> dict[str, Document | Skipped]:
    return {name: item for name, item in read_deep(path, "slack.zip", export(files)).items() if "/" in name}


def day(path: Path, messages: list[dict[str, Any]]) -> Document:
    (item,) = days(path, {"general/2024-01-05.json": messages}).values()
    assert isinstance(item, Document)
    return item


def test_a_day_is_a_document_with_threads_whole(tmp_path: Path) -> None:
    root = f"{T0:.6f}"
    found = days(
        tmp_path,
        {
            "general/2024-01-06.json": [
                said(1_500, "and <@U1>, done", "U2", thread_ts=root),
                said(1_501, "new day"),
            ],
            "general/2024-01-05.json": [
                said(5, "other &lt;topic&gt;\nline two", "U2"),
                said(0, "Ship on <#C1>?", thread_ts=root),
                said(3, "yes", "U2", thread_ts=root),
            ],
        },
    )
    one, two = found["general/2024-01-05.json"], found["general/2024-01-06.json"]
    assert isinstance(one, Document)
    assert isinstance(two, Document)
    assert one.text == (
        "[2024-01-05 09:12] Jane Doe: Ship on #general?\n"
        "    [2024-01-05 09:15] Bob: yes\n"
        "    [2024-01-06 10:12] Bob: and @Jane Doe, done\n"
        "[2024-01-05 09:17] Bob: other <topic>\n  line two"
    )
    assert two.text == "[2024-01-06 10:13] Jane Doe: new day"
    assert (one.title, one.group, one.author, two.author) == (
        "#general, 2024-01-05",
        "#general",
        None,
        "Jane Doe",
    )
    assert (one.created, one.modified) == ("2024-01-05T09:12:00Z", "2024-01-06T10:12:00Z")
    assert (one.metadata["messages"], one.metadata["threads"], one.metadata["kind"]) == (
        4,
        1,
        "public channel",
    )


def test_a_day_of_replies_stands_elsewhere(tmp_path: Path) -> None:
    root = f"{T0:.6f}"
    found = days(
        tmp_path,
        {
            "general/2024-01-05.json": [said(0, "question")],
            "general/2024-01-06.json": [said(1_500, "answer", thread_ts=root)],
        },
    )
    item = found["general/2024-01-06.json"]
    assert isinstance(item, Skipped)
    assert item.reason == "replies only"


def test_replies_to_what_is_not_there_stay_together(tmp_path: Path) -> None:
    found = day(tmp_path, [said(2, "second", thread_ts="1.0"), said(1, "first", thread_ts="1.0")])
    assert [line.strip()[-6:] for line in found.text.split("\n")] == [" first", "second"]
    assert found.metadata["threads"] == 1


def test_edits_deletions_and_noise(tmp_path: Path) -> None:
    found = day(
        tmp_path,
        [
            said(0, "final words", edited={"user": "U1", "ts": "1"}),
            said(1, "first try", "U2"),
            said(9, "", subtype="message_changed", message=said(1, "second try", "U2")),
            said(2, "gone"),
            said(8, "", subtype="message_deleted", deleted_ts=f"{T0 + 120:.6f}"),
            said(3, "has joined", subtype="channel_join"),
            said(4, "build passed", bot_id="B1", subtype="bot_message"),
            said(5, "build failed", bot_id="B1"),
            said(6, "sent twice", subtype="thread_broadcast"),
            said(6, "sent twice", subtype="thread_broadcast"),
            said(7, ""),
            {"type": "message", "text": "when?"},
        ],
    )
    assert [line.partition(": ")[2] for line in found.text.split("\n")] == [
        "final words",
        "second try",
        "sent twice",
    ]
    assert found.metadata["edited"] == 2
    assert found.metadata["left_out"] == {
        "by a bot": 2,
        "channel_join": 1,
        "deleted": 1,
        "without a time": 1,
        "without text": 1,
    }


def test_a_day_of_noise_says_so(tmp_path: Path) -> None:
    (item,) = days(tmp_path, {"general/2024-01-05.json": [said(0, "x", subtype="channel_join")]}).values()
    assert item == Skipped(0, "no message by a person", "1 channel_join")


def test_every_kind_of_conversation(tmp_path: Path) -> None:
    found = days(
        tmp_path,
        {
            "groups.json": [{"id": "G1", "name": "secret"}],
            "mpims.json": [{"id": "M1", "name": "mpdm-jane--bob-1", "members": ["U1", "U2"]}],
            "dms.json": [{"id": "D1", "members": ["U1", "U2"]}],
            "secret/2024-01-05.json": [said(0, "a")],
            "mpdm-jane--bob-1/2024-01-05.json": [said(0, "b")],
            "D1/2024-01-05.json": [said(0, "c", "W9", user_profile={"real_name": "Guest"})],
            "unknown/2024-01-05.json": [said(0, "d", "U9")],
        },
    )
    kinds = {
        name: (item.metadata["kind"], item.title)
        for name, item in found.items()
        if isinstance(item, Document)
    }
    assert kinds == {
        "secret/2024-01-05.json": ("private channel", "#secret, 2024-01-05"),
        "mpdm-jane--bob-1/2024-01-05.json": ("group message", "Jane Doe and Bob, 2024-01-05"),
        "D1/2024-01-05.json": ("direct message", "Jane Doe and Bob, 2024-01-05"),
        "unknown/2024-01-05.json": ("conversation", "unknown, 2024-01-05"),
    }
    guest = found["D1/2024-01-05.json"]
    assert isinstance(guest, Document)
    assert guest.author == "Guest"


def test_every_file_of_an_export_is_told_of_and_others_in_it_are_read(tmp_path: Path) -> None:
    raw = export(
        {
            "general/2024-01-05.json": [said(0, "x", files=[{"title": "plan.pdf"}])],
            "general/note.txt": "read me",
        },
        root="Acme export/",
    )
    found = read_deep(tmp_path, "slack.zip", raw)
    assert {name: getattr(item, "reason", "document") for name, item in found.items()} == {
        "Acme export/channels.json": "index of an export",
        "Acme export/users.json": "index of an export",
        "Acme export/general/2024-01-05.json": "document",
        "Acme export/general/note.txt": "document",
    }
    one = found["Acme export/general/2024-01-05.json"]
    assert isinstance(one, Document)
    assert one.text.endswith("x\n  [file: plan.pdf]")


@pytest.mark.parametrize("content", [{}, [1, None, {"ts": []}], [{"ts": "nan", "text": "x"}], None])
def test_nonsense_is_set_aside(tmp_path: Path, content: Any) -> None:
    (item,) = days(tmp_path, {"general/2024-01-05.json": content}).values()
    assert isinstance(item, Skipped)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("<@U1> and <@U2|bob> and <@U9>", "@Jane and @bob and @U9"),
        (
            "<https://x.io|the site>, <https://x.io>, <mailto:a@b.c|a@b.c>",
            "the site (https://x.io), https://x.io, a@b.c",
        ),
        ("<!channel> <!here|here> <!subteam^S1|@ops> <!date^1^{date}|today>", "@channel here @ops today"),
        ("&lt;b&gt; &amp;amp;", "<b> &amp;"),
        ("a < b > c 🚀 שלום", "a < b > c 🚀 שלום"),
    ],
)
def test_mark_up_is_made_readable(text: str, plain: str) -> None:
    assert plain_text(text, {"U1": "Jane"}, {}) == plain


def test_text_that_stands_in_blocks_alone() -> None:
    elements = [
        {"type": "text", "text": "Hi "},
        {"type": "user", "user_id": "U1"},
        {"type": "emoji", "name": "wave"},
        {"type": "link", "url": "https://x.io"},
    ]
    blocks = [{"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": elements}]}]
    assert rich_text(blocks) == "Hi <@U1>:wave:<https://x.io|https://x.io>"
    assert rich_text([{"type": "section", "text": {"type": "mrkdwn", "text": "plain"}}]) == "plain"
