from __future__ import annotations

import pytest

from forge.data.audit.claims import find_claims
from forge.data.audit.conflicts import Conflict, Surroundings, find_conflicts
from forge.data.audit.sentences import sentences


def conflicts(
    *texts: str,
    titles: dict[int, str] | None = None,
    over: set[int] | None = None,
    family: dict[int, int] | None = None,
    talk: set[int] | None = None,
) -> list[Conflict]:
    claims = [claim for number, text in enumerate(texts) for claim in find_claims(number, text)]
    words: dict[str, int] = {}
    for text in texts:
        for word in {word for word in text.split() if word.islower()}:
            words[word] = words.get(word, 0) + 1
    about = Surroundings(titles or {}, talk or set(), over or set(), family or {}, {}, words)
    return find_conflicts(claims, about)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The refund window of Blue Heron is 30 days.", "Blue Heron has a refund window of 14 days."),
        ("Backups of Blue Heron are kept for 90 days.", "The retention of backups in Blue Heron is 30 days."),
        ("The deadline for Blue Heron is 3 May 2026.", "Blue Heron: the deadline is 2026-06-03."),
        ("Anna Kern is the owner of Blue Heron.", "The owner of Blue Heron is Boris Lang."),
        ("Anna Kern owns Blue Heron.", "Blue Heron is owned by Boris Lang."),
        ("Seats in Blue Heron cost $20 per month.", "The price of a seat in Blue Heron is $25 per month."),
        (
            "Blue Heron gives its staff 28 days of paid leave.",
            "Blue Heron gives staff 25 days of paid leave.",
        ),
        (
            "Faults in Blue Heron are reported within 3 days.",
            "Faults in Blue Heron are reported within 5 days.",
        ),
        ("Blue Heron allows 600 requests per minute.", "Blue Heron allows 1,000 requests per minute."),
    ],
)
def test_two_values_for_one_thing(one: str, other: str) -> None:
    [found] = conflicts(one, other)
    assert found.subject == "blue heron"
    assert {found.first.document, found.second.document} == {0, 1}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The refund window of Blue Heron is 30 days.", "The refund window of Red Heron is 14 days."),
        ("The refund window of Blue Heron is 30 days.", "The refund window of Blue Heron is thirty days."),
        ("The refund window of Blue Heron is 14 days.", "The refund window of Blue Heron is 2 weeks."),
        ("The refund window of Blue Heron is 30 days.", "The refund window of Blue Heron was 14 days."),
        (
            "The refund window of Blue Heron is 30 days.",
            "Until 2020 the refund window of Blue Heron was 14 days.",
        ),
        ("The refund window of Blue Heron is 30 days.", "Should the refund window of Blue Heron be 14 days?"),
        (
            "The refund window of Blue Heron is 30 days.",
            "For Enterprise the refund window of Blue Heron is 14 days.",
        ),
        ("The refund window of Blue Heron is 30 days.", "The refund window of Blue Heron Lite is 14 days."),
        (
            "The refund window of Blue Heron is 30 days.",
            "In staging the refund window of Blue Heron is 14 days.",
        ),
        ("The refund window of Blue Heron is 30 days.", "The trial of Blue Heron lasts 14 days."),
        ("Blue Heron closed 14 tickets.", "Blue Heron closed 20 tickets."),
        ("Anna Kern is the owner of Blue Heron.", "Boris Lang is the escalation contact for Blue Heron."),
        ("Blue Heron is owned by A. Kern.", "Anna Kern owns Blue Heron."),
        ("Blue Heron costs €20 per month.", "Blue Heron costs €200 per year."),
        (
            "The term of this Agreement is 3 years, says the agreement.",
            "The term of this Agreement is 5 years.",
        ),
        (
            "The refund window of Blue Heron is 30 days.",
            "In Japan, Blue Heron has a refund window of 14 days.",
        ),
        (
            "The refund window of Blue Heron is 30 days.",
            "For schools the refund window of Blue Heron is 14 days.",
        ),
        (
            "The refund window of Blue Heron is 30 days.",
            "Trial accounts of Blue Heron have a refund window of 14 days.",
        ),
        (
            "The refund window of Blue Heron is 30 days.",
            "The refund window of Blue Heron is 14 days as of 2019.",
        ),
        ("Node 6 is due to end on 2019-04-30.", "Node 8 is due to end on 2019-12-31."),
        (
            "The limit of Blue Heron is 5 GB, see https://x.org/1",
            "The limit of Blue Heron is 7 GB, see https://x.org/2",
        ),
        ("Blue Heron supports 20 users on Monday.", "Blue Heron supports 30 users on Friday."),
    ],
)
def test_what_contradicts_nothing(one: str, other: str) -> None:
    assert conflicts(one, other) == []


def test_a_page_about_one_thing_need_not_name_it() -> None:
    titles = {0: "Blue Heron: questions and answers", 1: "Notes"}
    texts = ("The refund window is 30 days.", "Note that Blue Heron has a refund window of 14 days.")
    [found] = conflicts(*texts, titles=titles)
    assert found.subject == "blue heron"
    assert conflicts(*texts, titles={0: "Blue Heron incident 2024-05-03", 1: "Notes"}) == []


RULE = "Receipts for lamps must be handed in within 30 days of the purchase."
SAID = "[2024-05-03 10:00] Anna Kern: morning! receipts for lamps must be handed in within 14 days of the purchase"


def test_what_people_say_of_a_rule_without_a_name() -> None:
    [found] = conflicts(RULE, SAID, titles={0: "Lamp policy", 1: "#general"}, talk={1})
    assert (found.subject, found.first.document, found.second.document) == ("lamp policy", 0, 1)
    [again] = conflicts(RULE, SAID, SAID.replace("morning", "evening"), talk={1, 2})
    assert [claim.document for claim in again.others] == [2]
    assert conflicts(RULE, SAID.replace("14", "30"), talk={1}) == []
    assert conflicts(RULE, SAID.replace("the purchase", "the purchase of Blue Heron"), talk={1}) == []
    assert conflicts(RULE, SAID.replace("must be handed in within", "lay around for"), talk={1}) == []


def test_one_rule_in_several_contracts_is_no_conflict() -> None:
    assert conflicts(RULE, RULE.replace("30", "60")) == []
    assert conflicts(RULE, RULE.replace("30", "60"), SAID, talk={2}) == []


def test_parts_of_one_course_are_about_themselves() -> None:
    titles = {0: "Blue Heron training, part 1", 1: "Blue Heron training, part 2", 2: "x"}
    texts = ("The exercise takes 20 minutes.", "The exercise takes 35 minutes.", "Try Blue Heron.")
    assert conflicts(*texts, titles=titles) == []


def test_versions_and_stale_documents_do_not_conflict() -> None:
    texts = ("The refund window of Blue Heron is 30 days.", "The refund window of Blue Heron is 14 days.")
    assert len(conflicts(*texts)) == 1
    assert conflicts(*texts, family={0: 5, 1: 5}) == []
    assert conflicts(*texts, over={1}) == []
    assert conflicts(" ".join(texts)) == []


def test_each_attribute_is_one_conflict_with_all_passages() -> None:
    right = "The refund window of Blue Heron is 30 days."
    [found] = conflicts(
        right, right.replace("is", "remains"), right.replace("30", "14"), "Anna Kern owns Blue Heron."
    )
    assert len(found.others) == 1
    assert "refund" in found.attribute


def test_chat_lines_and_wrapped_lines_are_sentences() -> None:
    chat = "[2024-05-03 10:00] Anna Kern: the limit is 5 GB\n    [2024-05-03 10:01] Boris Lang: thanks"
    assert [one.text for one in sentences(chat)] == ["the limit is 5 GB", "thanks"]
    wrapped = "This line goes on for quite a while until there is no more room and\nends here. Another one."
    wrapped += "\n\n# Head\n- a point"
    assert [(one.text.split()[-1], one.heading) for one in sentences(wrapped)] == [
        ("here.", ""),
        ("one.", ""),
        ("point", "Head"),
    ]
    assert list(sentences("> quoted 5 GB\n| a | b |\na\tb")) == []
