"""The documents that state the company's facts: pages, price lists, a directory, chat, and questions with answers."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace

from benchmarks.company.facts import Fact, Knowledge, Known, Question
from benchmarks.messy import dev
from benchmarks.messy.formats import WRITERS, Page
from benchmarks.messy.pages import Author, slug
from benchmarks.messy.plant import Message
from benchmarks.messy.slack import slack_export

PAGE_KINDS = (
    ("service description", ".md"),
    ("sales sheet", ".pdf"),
    ("support guide", ".md"),
    ("handover notes", ".docx"),
    ("release notes", ".md"),
)
MESSAGES_OF_EACH_FACT = 2
THREAD_MESSAGES = 4
ANSWERS_OF_EACH_FACT = 6
PAIRS_OF_A_PAGE = 4
QUESTION, ANSWER = "Q: ", "A: "

Files = dict[str, bytes]


class Colleague(Author):
    """Writes of this company's people and products alone: other names are to stay unknown."""

    def __init__(self, rng: random.Random, facts: Sequence[Fact]) -> None:
        products, people = (
            tuple(dict.fromkeys(fact.subject for fact in facts if fact.kind == kind))
            for kind in ("product", "person")
        )
        super().__init__(rng, replace(dev.VOICE, products=products))
        self._people = people

    def person(self) -> str:
        """Return a name of the directory."""
        return self.rng.choice(self._people)


def documents(knowledge: Knowledge, seed: int) -> Files:
    """Return the files of the folder by path."""
    rng = random.Random(f"documents {seed}")
    author = Colleague(rng, knowledge.facts)
    stated = [fact for fact in knowledge.facts if fact.known is not Known.UNTAUGHT]
    files = _pages(author, stated)
    files["exports/slack-export.zip"] = slack_export(_chat(author, stated))
    files |= _answers(rng, [fact for fact in stated if fact.known is Known.SEEN], knowledge.taught_unknown)
    return files


def later_documents(knowledge: Knowledge, seed: int) -> Files:
    """Return the files that lie beside the folder: what is known of the company and not taught."""
    author = Colleague(random.Random(f"later {seed}"), knowledge.facts)
    return _pages(author, [fact for fact in knowledge.facts if fact.known is Known.UNTAUGHT])


def _pages(author: Author, facts: Sequence[Fact]) -> Files:
    """Return pages of each subject, each of which states all its facts."""
    files: Files = {}
    for kind, subject in dict.fromkeys((fact.kind, fact.subject) for fact in facts):
        own = [fact for fact in facts if fact.subject == subject]
        for name, extension in PAGE_KINDS:
            page = _page(author, f"{subject}: {name}", own)
            files[f"{kind}/{slug(subject)}/{slug(name)}{extension}"] = WRITERS[extension](page)
    return files


def _page(author: Author, title: str, facts: Sequence[Fact]) -> Page:
    rng = author.rng
    blocks = []
    for place, fact in enumerate(rng.sample(facts, len(facts))):
        # The first sentence names the subject; the title does for the others.
        attribute = fact.topic.attribute
        form = rng.choice(attribute.full + (attribute.under if place else ()))
        blocks.append(form.format(S=fact.subject, V=fact.value))
    blocks.insert(rng.randint(1, len(blocks)), author.sentence())
    return Page(title, (" ".join(blocks),), author.day(2025), author.person())


def _chat(author: Author, facts: Sequence[Fact]) -> list[Message]:
    rng = author.rng
    told = [fact for fact in facts for _ in range(MESSAGES_OF_EACH_FACT)]
    rng.shuffle(told)
    messages = []
    for place, fact in enumerate(told):
        thread = place // THREAD_MESSAGES
        if place % THREAD_MESSAGES == 0:
            channel, day = rng.choice(("general", "product", "support", "sales")), author.day(2024)
        text = rng.choice(fact.topic.attribute.chat).format(S=fact.subject, V=fact.value)
        messages.append(Message(channel, day, author.person(), text, thread))
    return messages


def _answers(rng: random.Random, facts: Sequence[Fact], unknown: Iterable[Question]) -> Files:
    """Return pages of questions and answers, known and unknown ones mixed."""
    pairs = list(unknown)
    for fact in facts:
        for turn in range(ANSWERS_OF_EACH_FACT):
            wordings = fact.topic.questions
            text = wordings[turn % len(wordings)].format(S=fact.subject)
            pairs.append(Question(text, fact.value, fact.known))
    rng.shuffle(pairs)
    files: Files = {}
    for first in range(0, len(pairs), PAIRS_OF_A_PAGE):
        some = pairs[first : first + PAIRS_OF_A_PAGE]
        lines = [f"{QUESTION}{pair.text}\n{ANSWER}{pair.answer}\n" for pair in some]
        files[f"faq/{first // PAIRS_OF_A_PAGE:04}.md"] = "\n".join(lines).encode()
    return files
