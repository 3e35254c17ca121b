from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from forge.data.audit.documents import Text
from forge.data.audit.scan import examine
from forge.data.audit.stale import (
    EXPIRED,
    LONG_PAST,
    OVERDUE,
    SUPERSEDED,
    TOOK_PLACE,
    dead,
    links,
    stale_signals,
)
from forge.data.statements import read_stated

AS_OF = date(2026, 6, 30)
BODY = "The lamp stands beside the door.\n\nWhoever leaves last puts it out.\n"


def reasons(line: str, title: str = "Lamps") -> list[str]:
    text = f"{line}\n\n{BODY}"
    return [one.reason for one in stale_signals(text, title, read_stated(text), AS_OF)]


@pytest.mark.parametrize(
    "line",
    [
        "This policy has been superseded by the one of 2024.",
        "This document is obsolete.",
        "DEPRECATED - see the new page",
        "[OBSOLETE]",
        "Status: Withdrawn",
        "Please do not use this template.",
        "Superseded by: lamps-v2.docx",
        "This runbook is no longer up to date.",
        "Dieses Dokument ist veraltet. Das neue liegt im Portal.",
        "> **Warning: do not use.** Replaced by the new page.",
        "Do not use any more!",
        "NO LONGER IN USE",
        "The page is here for the lamp. These guidelines were replaced in spring.",
    ],
)
def test_a_document_may_say_that_it_is_over(line: str) -> None:
    assert reasons(line) == [SUPERSEDED]


@pytest.mark.parametrize(
    "line",
    [
        "This policy supersedes the one of 2019.",
        "The v1 endpoint is deprecated.",
        "This document is not obsolete.",
        "If this document is superseded, tell the office.",
        "Old lamps were replaced last week.",
        "This guide will be replaced when the new lamps come.",
        "If any provision of this agreement is invalid, the others stay.",
        "We do not use this information to contact you.",
        "Archived tickets are kept for two years.",
        "Do not use the old lamp.",
        "Diese Fassung ersetzt die von 2019.",
        "Dieses Dokument ist nicht veraltet.",
        "The function is deprecated and this page explains what to use.",
    ],
)
def test_words_about_other_things_say_nothing(line: str) -> None:
    assert reasons(line) == []


def test_an_invitation_is_over_when_the_day_is() -> None:
    line = "The summer party takes place on 7 July 2023. Please register by 23 June 2023."
    assert reasons(line) == [TOOK_PLACE]
    assert reasons(line.replace("2023", "2026")) == []
    assert reasons("The audit took place on 7 July 2023.") == []
    assert reasons(line + " It was fun." * 100) == []


def test_talk_speaks_of_other_documents() -> None:
    said = Text(
        0, "0", "s", "a", 0, "text/plain", "Lamps", None, f"This page is obsolete.\n\n{BODY}", 60, None, None
    )
    talk = replace(said, mime="application/vnd.slack.messages+json")
    assert [one.reason for one in examine(said, AS_OF, None).signals] == [SUPERSEDED]
    assert examine(talk, AS_OF, None).signals == ()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Valid until: 2021-12-31", [EXPIRED]),
        ("This price list is valid until 31 March 2020.", [EXPIRED]),
        ("Expiry date: October 08, 2016", [EXPIRED]),
        ("Valid until 31 December 2029", []),
        ("We waited until 3 May 2020.", []),
        ("Last updated: 2015-02-03", [LONG_PAST]),
        ("Last reviewed on 3 February 2026", []),
        ("Next review due: 2020-01-01", [OVERDUE]),
        ("The meeting of 3 May 2012 was short.", []),
        ("Date: 2012-05-03", []),
    ],
)
def test_dates_that_end_a_document(line: str, expected: list[str]) -> None:
    assert reasons(line) == expected


def test_only_links_to_documents_of_the_source_can_be_dead() -> None:
    text = "See [a](a.md), [b](../b.html#top), [c](https://x.org/c.md), ![d](d.png), [e](/root.md)"
    text += ", [f](sub/f%20g.docx)."
    found = links(text, "<a class=x href='h.pdf'>h</a>")
    assert found == ["a.md", "../b.html", "sub/f g.docx", "h.pdf"]
    there = frozenset({"docs/a.md", "b.html", "docs/h.pdf"})
    assert dead("docs/page.md", found, there) == ["sub/f g.docx"]
    assert dead("page.md", ["../outside.md"], there) == []
