"""The mistakes that are planted in the company's folder, each noted in the labels."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import PurePosixPath
from typing import Any

from benchmarks.messy.pages import AS_OF, Author, Draft, slug
from benchmarks.messy.secret_values import maker
from benchmarks.messy.voice import Attribute, Voice

TEXT_FORMATS = (".md", ".txt", ".html", ".docx", ".pdf")


@dataclass
class Labels:
    """What is true of the folder; paths below its root."""

    duplicates: list[list[str]] = field(default_factory=list)
    versions: list[dict[str, Any]] = field(default_factory=list)
    stale: dict[str, str] = field(default_factory=dict)
    not_stale: list[str] = field(default_factory=list)
    conflicts: list[dict[str, Any]] = field(default_factory=list)
    secrets: list[dict[str, str]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    boilerplate: list[str] = field(default_factory=list)


@dataclass
class Message:
    """A chat message; `thread` groups messages."""

    channel: str
    day: date
    author: str
    text: str
    thread: int


CHAT = "exports/slack-export.zip"


def plant_facts(
    author: Author, drafts: list[Draft], messages: list[Message], labels: Labels, conflicts: int
) -> None:
    """State facts of products and policies all over; `conflicts` of them with two values."""
    rng, voice = author.rng, author.voice
    facts = [(s, a) for s in voice.products for a in voice.product_attributes]
    facts += [(s, a) for s in voice.policies for a in rng.sample(voice.policy_attributes, 2)]
    rng.shuffle(facts)
    for place, (subject, attribute) in enumerate(facts):
        right, wrong, *others = attribute.values(rng, 4)
        mentions: dict[str, list[str]] = {right: [], wrong: []}
        for _ in range(rng.randint(2, 4)):
            mentions[right].append(
                _state(author, drafts, messages, subject, attribute, _alike(rng, voice, right))
            )
        if place < conflicts:
            for _ in range(rng.randint(1, 2)):
                others_own = [draft for draft in drafts if draft.file not in mentions[right]]
                file = _state(author, others_own, messages, subject, attribute, wrong)
                mentions[wrong].append(file)
            labels.conflicts.append(
                {
                    "subject": subject,
                    "attribute": attribute.name,
                    "values": {v: f for v, f in mentions.items() if f},
                }
            )
        if rng.random() < 0.6:
            _distract(author, drafts, subject, attribute, right, others)


def _alike(rng: random.Random, voice: Voice, value: str) -> str:
    if rng.random() < 0.3:
        other = rng.choice(voice.same)(value)
        return other or value
    return value


def _state(
    author: Author,
    drafts: list[Draft],
    messages: list[Message],
    subject: str,
    attribute: Attribute,
    value: str,
) -> str:
    """State a fact somewhere and return the file it is in."""
    rng = author.rng
    way = rng.random()
    own = [d for d in drafts if d.subject == subject and d.extension in (*TEXT_FORMATS, ".pptx")]
    if way < 0.35 and own:
        draft = rng.choice(own)
        line = rng.choice(attribute.under).format(V=value)
    elif 0.35 <= way < 0.55:
        messages.append(
            Message(
                rng.choice(("general", "product", "support", "sales")),
                author.day(2024),
                author.person(),
                rng.choice(attribute.chat).format(S=subject, V=value),
                rng.randrange(10**9),
            )
        )
        return CHAT
    else:
        hosts = [
            d
            for d in drafts
            if not d.subject and d.kind in ("guide", "record", "mail") and d.written.year >= 2024
        ]
        draft = rng.choice(hosts)
        line = rng.choice(attribute.full).format(S=subject, V=value)
        if rng.random() < 0.5:
            line = f"{author.sentence()} {line} {author.sentence()}"
    draft.put(rng, line)
    return draft.file


def _distract(
    author: Author, drafts: list[Draft], subject: str, attribute: Attribute, right: str, others: list[str]
) -> None:
    rng, voice = author.rng, author.voice
    form = rng.choice((*voice.history, *voice.elsewhere, *voice.idle))
    line = form.format(
        S=subject, V=others[0], W=right, noun=attribute.noun, year=rng.randint(2014, 2020), P=author.person()
    )
    line = line[0].upper() + line[1:]
    rng.choice([d for d in drafts if d.kind in ("guide", "record", "mail")]).put(rng, line)


def plant_copies(author: Author, drafts: list[Draft], labels: Labels, exact: int, near: int) -> list[Draft]:
    """Return copies of some drafts, `exact` ones of the same bytes and `near` ones with something touched."""
    rng, voice = author.rng, author.voice
    hosts = [d for d in drafts if d.kind == "guide" and not d.subject]
    copies = []
    for place, draft in enumerate(rng.sample(hosts, exact + near)):
        stem = PurePosixPath(draft.path).name
        name = rng.choice(voice.copy_names).format(stem=stem)
        folder = rng.choice(("shared/inbox", f"backup/{rng.randint(2021, 2025)}", "teams/misc", "desktop"))
        folder += f"/{rng.randint(1, 40)}"
        if place < exact:
            copy = replace(draft, path=f"{folder}/{name}", blocks=draft.blocks)
        else:
            extension = rng.choice(TEXT_FORMATS)
            copy = replace(draft, path=f"{folder}/{name}", extension=extension, blocks=list(draft.blocks))
            _touch(author, copy)
        copies.append(copy)
        labels.duplicates.append(sorted([draft.file, copy.file]))
    return copies


def _touch(author: Author, draft: Draft) -> None:
    """Change a little: a remark on top, a few words, or a last sentence less."""
    rng, way = author.rng, author.rng.randrange(3)
    if way == 0:
        draft.blocks.insert(0, f"Sent on by {author.person()}.")
    elif way == 1:
        place = max(range(len(draft.blocks)), key=lambda n: len(draft.blocks[n]))
        words = draft.blocks[place].split()
        words[rng.randrange(len(words))] = rng.choice(author.voice.qualities)
        draft.blocks[place] = " ".join(words)
    else:
        draft.blocks.append(author.sentence())


def plant_versions(author: Author, labels: Labels, count: int) -> list[Draft]:
    """Return the members of `count` version families, each with its newest noted."""
    rng, voice = author.rng, author.voice
    members = []
    for number in range(count):
        title = author.unique(
            "{quality} {part} concept", "Handbook for the {part}", "Plan for the {thing} in the {part}"
        )
        names = voice.version_names[number % len(voice.version_names)]
        names = names[: rng.randint(2, len(names))]
        blocks = [f"# {rng.choice(('Aim', 'Summary'))}", *author.paragraphs(rng.randint(5, 7))]
        line = rng.choice(voice.version_lines)
        day = author.day(2022, 2023)
        family = []
        for place, name in enumerate(names):
            path = f"projects/{slug(title)[:40]}/{name.format(stem=slug(title))}"
            own = list(blocks)
            if line:
                stated = line.format(n=place + 1, date=day.strftime("%d %B %Y").lstrip("0"))
                own.insert(0, stated)
            family.append(
                Draft(
                    path,
                    rng.choice((".docx", ".docx", ".pdf", ".md")),
                    title,
                    own,
                    day,
                    author.person(),
                    kind="version",
                )
            )
            day += timedelta(days=rng.randint(90, 300))
            blocks = _revised(author, blocks)
        members += family
        files = [draft.file for draft in family]
        labels.versions.append({"members": sorted(files), "newest": files[-1]})
        for file in files[:-1]:
            labels.stale[file] = "older version"
    return members


def _revised(author: Author, blocks: list[str]) -> list[str]:
    """Return blocks with about every sixth sentence rewritten."""
    revised = []
    for block in blocks:
        sentences = block.split(". ")
        for place, _ in enumerate(sentences):
            if author.rng.random() < 0.16:
                sentences[place] = author.sentence().rstrip(".")
        text = ". ".join(sentences)
        revised.append(text if text.endswith(".") or text.startswith("#") else text + ".")
    return [*revised, author.sentence()]


def plant_stale(author: Author, drafts: list[Draft], labels: Labels, each: int) -> list[Draft]:
    """Make `each` guides stale in each of four ways, and as many look it that are not."""
    rng, voice = author.rng, author.voice
    hosts = [d for d in drafts if d.kind == "guide" and not d.subject and d.extension in TEXT_FORMATS]
    chosen = iter(rng.sample(hosts, 5 * each))
    for _ in range(each):
        _stale(next(chosen), rng.choice(voice.superseded_banners), labels, "superseded")
        _stale(next(chosen), rng.choice(voice.expired_lines).format(past=_past(rng)), labels, "expired")
        _stale(next(chosen), rng.choice(voice.reviewed_lines).format(past=_past(rng)), labels, "long past")
        gone = next(chosen)
        if gone.extension in (".md", ".html"):
            name = f"{slug(author.unique('{quality} {thing} of the {part}'))}{rng.choice(('.md', '.html', '.docx'))}"
            gone.put(rng, f"See [{author.rng.choice(voice.things)}]({name}) for more.")
            labels.stale[gone.file] = "dead link"
        alive = next(chosen)
        future = AS_OF + timedelta(days=rng.randint(100, 900))
        alive.put(
            rng,
            rng.choice(voice.alive_lines).format(past=_past(rng), future=future.strftime("%d %B %Y")),
        )
        labels.not_stale.append(alive.file)
    return []


def _stale(draft: Draft, line: str, labels: Labels, reason: str) -> None:
    if reason == "expired" and ":" not in line:
        draft.blocks.append(line)
    else:
        draft.blocks.insert(0, line)
    labels.stale[draft.file] = reason


def _past(rng: random.Random) -> str:
    day = date(2012, 1, 1) + timedelta(days=rng.randrange(7 * 365))
    return rng.choice((day.isoformat(), day.strftime("%d %B %Y"), day.strftime("%B %d, %Y")))


def plant_secrets(author: Author, drafts: list[Draft], labels: Labels, each: int) -> None:
    """Put `each` values of every kind into pages, and lines that only look like secrets into others."""
    rng, voice = author.rng, author.voice
    hosts = [d for d in drafts if d.kind in ("guide", "record") and d.extension in TEXT_FORMATS]
    make = maker(voice.domain, voice.first_names, voice.last_names)
    taken: set[tuple[str, str]] = set()
    for kind, lines in voice.secret_lines.items():
        for _ in range(each):
            draft = rng.choice(hosts)
            if (draft.file, kind) in taken:
                continue
            taken.add((draft.file, kind))
            if kind in (
                "private_key",
                "jwt",
                "url_password",
                "github_token",
                "stripe_key",
                "slack_token",
            ):
                # A PDF or a wrapped text would cut such a line in two.
                draft = rng.choice([d for d in hosts if d.extension in (".md", ".html", ".docx")])
                taken.add((draft.file, kind))
            draft.put(rng, rng.choice(lines).format(V=make[kind](rng)))
            labels.secrets.append({"path": draft.file, "kind": kind})
    for line in voice.clean_lines:
        for _ in range(each):
            rng.choice(hosts).put(rng, line)
