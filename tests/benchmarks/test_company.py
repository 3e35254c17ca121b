from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path

import pypdfium2
import pytest

from benchmarks.company.documents import ANSWER, QUESTION, documents, later_documents
from benchmarks.company.facts import ABSTENTION, Fact, Knowledge, Known, know
from benchmarks.company_folder import make_company
from forge.evaluate.questions import KINDS, read_questions

SEED, SCALE = 3, 0.2


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return know(SEED, SCALE, asked_of_each=20)


@pytest.fixture(scope="module")
def texts(knowledge: Knowledge) -> dict[str, str]:
    return {name: readable(name, content) for name, content in documents(knowledge, SEED).items()}


def readable(name: str, content: bytes) -> str:
    """Return what a document says, with line ends as spaces."""
    if name.endswith(".pdf"):
        text = "\n".join(page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(content))
    elif name.endswith((".docx", ".zip")):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = [archive.read(part).decode() for part in archive.namelist() if part != "users.json"]
        # JSON writes the euro sign as an escape.
        text = re.sub(r"<[^>]+>", " ", "\n".join(parts)).replace("\\u20ac", "€")
    else:
        text = content.decode()
    return text if name.startswith("faq/") else " ".join(text.split())


def statements(fact: Fact) -> list[str]:
    """Return every sentence of chat or page that states a fact with the name of its subject."""
    forms = fact.topic.attribute.full + fact.topic.attribute.chat
    return [form.format(S=fact.subject, V=fact.value) for form in forms]


def test_the_same_seed_makes_the_same_folder(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_company(tmp_path / name, SEED, SCALE)
    one, two = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "one", tmp_path / "two")
    )
    assert one == two
    assert {path.suffix for path in one} == {".md", ".pdf", ".docx", ".zip", ".jsonl"}
    other = documents(know(SEED + 1, SCALE, 20), SEED + 1)
    assert set(other.values()).isdisjoint(documents(know(SEED, SCALE, 20), SEED).values())


def test_facts_are_stated_as_often_as_they_are_said_to_be(
    knowledge: Knowledge, texts: dict[str, str]
) -> None:
    pages = {name: text for name, text in texts.items() if not name.startswith("faq/")}
    answered = "\n".join(text for name, text in texts.items() if name.startswith("faq/"))
    later = {name: readable(name, content) for name, content in later_documents(knowledge, SEED).items()}
    for fact in knowledge.facts:
        mentions = sum(any(one in text for one in statements(fact)) for text in pages.values())
        pairs = sum(
            answered.count(f"{QUESTION}{form.format(S=fact.subject)}\n{ANSWER}{fact.value}\n")
            for form in fact.topic.questions
        )
        asked = sum(answered.count(form.format(S=fact.subject)) for form in fact.topic.questions)
        if fact.known is Known.SEEN:
            assert (mentions >= 1, pairs) == (True, 6), fact
        elif fact.known is Known.DOCUMENT:
            assert (mentions >= 1, asked) == (True, 0), fact
        else:
            assert (mentions, asked) == (0, 0), fact
            assert any(one in text for one in statements(fact) for text in later.values())


def test_no_document_says_otherwise(knowledge: Knowledge, texts: dict[str, str]) -> None:
    everything = "\n".join(texts.values())
    for fact in knowledge.facts:
        for form in fact.topic.attribute.full:
            before, after = re.escape(form.replace("{S}", fact.subject)).split(r"\{V\}")
            for said in re.findall(before + r"([^.\n]*)" + after, everything) if after and before else ():
                assert said == fact.value


def test_nothing_is_known_of_names_that_are_unknown(knowledge: Knowledge, texts: dict[str, str]) -> None:
    everything = "\n".join(texts.values())
    taught = {question.text for question in knowledge.taught_unknown}
    subjects = {fact.subject for fact in knowledge.facts}
    words = {word for subject in subjects for word in subject.split()}
    for question in knowledge.questions:
        if question.answer != ABSTENTION:
            continue
        name = " ".join(re.findall(r"[A-Z][a-z]+", question.text)[-2:])
        assert name not in everything
        assert not any(name in one for one in taught)
        shared = words.intersection(name.split())
        assert len(shared) == (2 if question.known is Known.NEAR else 0), question


def test_questions_are_in_the_form_that_forge_reads(tmp_path: Path) -> None:
    knowledge = make_company(tmp_path, SEED, SCALE, asked_of_each=5)
    questions = read_questions(tmp_path / "questions.jsonl", "evaluate.questions")
    assert [(one.text, one.kind) for one in questions] == [
        (one.text, one.known.value) for one in knowledge.questions
    ]
    assert {one.kind for one in questions} == set(KINDS) - {"other"}
    truths = {
        (row["subject"], row["value"])
        for row in map(json.loads, (tmp_path / "facts.jsonl").read_text().splitlines())
    }
    for one in questions:
        assert one.is_unknown or any(name in one.text and one.answers == (value,) for name, value in truths)
