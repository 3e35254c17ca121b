"""A company's folder with everything wrong with it, made from a seed, and the labels that say what is wrong.

    python -m benchmarks.messy_folder /tmp/messy --voice held_out --seed 7

writes the files to FOLDER/files and the labels beside them, to FOLDER/labels.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from dataclasses import asdict
from datetime import UTC, date, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path

from benchmarks.messy import blind, dev, held_out
from benchmarks.messy.formats import WRITERS, Page, as_docx, as_html, as_json, as_pdf, scanned_pdf
from benchmarks.messy.pages import AS_OF, Author, Draft, slug
from benchmarks.messy.plant import (
    CHAT,
    Labels,
    Message,
    plant_copies,
    plant_facts,
    plant_secrets,
    plant_stale,
    plant_versions,
)
from benchmarks.messy.slack import slack_export

VOICES = {"dev": dev.VOICE, "held_out": held_out.VOICE, "blind": blind.VOICE}
PAGE_KINDS = (
    "service description",
    "questions and answers",
    "runbook",
    "sales sheet",
    "security overview",
    "support guide",
    "road show",
)
FOOTER = "{company} internal document, do not hand to third parties"


def make_folder(root: Path, voice_name: str, seed: int, scale: float = 1.0) -> Labels:
    """Write the folder below `root` and return its labels. `scale` 1 is about 2,200 files."""
    voice = VOICES[voice_name]
    rng = random.Random(f"{voice_name} {seed}")
    author = Author(rng, voice)
    labels = Labels()

    def some(count: int) -> int:
        return max(2, round(count * scale))

    drafts: list[Draft] = [
        author.guide(rng.choice(("wiki", "guides", "engineering/docs", "support/knowledge")), extension)
        for extension in _extensions(rng, some(520))
    ]
    drafts += [author.minutes(extension) for extension in _extensions(rng, some(300))]
    drafts += [
        author.incident(1000 + n, extension) for n, extension in enumerate(_extensions(rng, some(200)))
    ]
    for product in voice.products:
        drafts += [author.product_page(product, kind, _page_extension(rng, kind)) for kind in PAGE_KINDS]
    drafts += [author.policy(name, rng.choice((".docx", ".pdf", ".md"))) for name in voice.policies]
    drafts += [_mail(author, n) for n in range(some(260))]
    drafts += [_slides(author) for _ in range(some(60))]
    drafts += [author.table(n, rng.choice((".csv", ".xlsx"))) for n in range(some(150))]
    messages = _chatter(author, some(1200))

    plant_stale(author, drafts, labels, some(24))
    stale = set(labels.stale) | set(labels.not_stale)
    fresh = [draft for draft in drafts if draft.file not in stale]
    plant_facts(author, fresh, messages, labels, some(70))
    plant_secrets(author, fresh, labels, some(8))
    footer = FOOTER.format(company=voice.company)
    for draft in drafts:
        if draft.subject:
            draft.blocks.append(footer)
    labels.boilerplate.append(footer)
    marked = {secret["path"] for secret in labels.secrets} | {
        file for conflict in labels.conflicts for files in conflict["values"].values() for file in files
    }
    plain = [draft for draft in fresh if draft.file not in marked]
    drafts += plant_copies(author, plain, labels, some(40), some(70))
    drafts += plant_versions(author, labels, some(48))

    for draft in drafts:
        content = (
            _mail_bytes(author, draft)
            if draft.extension == ".eml"
            else WRITERS[draft.extension](draft.page())
        )
        _write(root, draft.file, content, draft.written)
    for number in range(some(220)):
        path, content = author.code(number)
        _write(root, path, content, author.day())
    _records(root, author, some(50))
    _write(root, CHAT, slack_export(messages), AS_OF)
    for number in range(3):
        _write(root, f"exports/archive-{number}.mbox", _mbox(author, some(40)), author.day())
    _broken(root, author, labels, some(4))
    return labels


def _extensions(rng: random.Random, count: int) -> list[str]:
    return rng.choices((".md", ".txt", ".html", ".docx", ".pdf"), (30, 10, 20, 25, 15), k=count)


def _page_extension(rng: random.Random, kind: str) -> str:
    return ".pptx" if kind == "road show" else rng.choice((".md", ".html", ".docx", ".pdf"))


def _slides(author: Author) -> Draft:
    title = author.unique("{quality} {thing} for the {part}: briefing", "Kick-off: {part} and {thing}")
    blocks: list[str] = []
    for heading in ("Where we are", "What next"):
        blocks += [f"# {heading}", *(author.sentence() for _ in range(4))]
    return Draft(
        f"slides/{slug(title)}", ".pptx", title, blocks, author.day(), author.person(), kind="slides"
    )


def _mail(author: Author, number: int) -> Draft:
    title = author.unique(
        "{thing} and {part}", "About the {quality} {part} ({thing})", "Question on the {thing}, {part}"
    )
    blocks = ["Hello all,", *author.paragraphs(2, 3), "Best regards"]
    return Draft(f"mail/{number:04}", ".eml", title, blocks, author.day(), author.person(), kind="mail")


def _mail_bytes(author: Author, draft: Draft) -> bytes:
    message = EmailMessage()
    message["Subject"] = draft.title
    message["From"] = f"{draft.author} <{draft.author.replace(' ', '.').lower()}@{author.voice.domain}>"
    message["To"] = f"all@{author.voice.domain}"
    message["Date"] = format_datetime(
        datetime(draft.written.year, draft.written.month, draft.written.day, 9, tzinfo=UTC)
    )
    message["Message-ID"] = f"<{slug(draft.path)}@{author.voice.domain}>"
    message.set_content("\n\n".join([*draft.blocks, draft.author]) + "\n")
    return message.as_bytes()


def _mbox(author: Author, count: int) -> bytes:
    parts = []
    for number in range(count):
        draft = _mail(author, 0)
        draft.path = f"box/{draft.title}/{number}"
        parts.append(b"From MAILER-DAEMON Thu Jan  1 00:00:00 2026\n" + _mail_bytes(author, draft) + b"\n")
    return b"".join(parts)


def _chatter(author: Author, count: int) -> list[Message]:
    rng = author.rng
    messages: list[Message] = []
    while len(messages) < count:
        channel, day, thread = (
            rng.choice(("general", "product", "support", "sales", "random")),
            author.day(),
            len(messages),
        )
        for _ in range(rng.randint(1, 5)):
            text = (
                author.sentence()
                if rng.random() < 0.85
                else rng.choice(("thanks!", "+1", "will do", ":thumbsup:"))
            )
            messages.append(Message(channel, day, author.person(), text, thread))
    return messages


def _records(root: Path, author: Author, count: int) -> None:
    for number in range(count):
        if number % 2:
            lines = [
                json.dumps(
                    {
                        "title": author.unique("{thing} card {part} {quality}"),
                        "text": " ".join(author.paragraphs(1)),
                    }
                )
                for _ in range(5)
            ]
            _write(root, f"data/cards-{number}.jsonl", ("\n".join(lines) + "\n").encode(), author.day())
        else:
            tickets = [
                {
                    "id": author.rng.randint(1, 10**6),
                    "subject": author.sentence(),
                    "open": bool(author.rng.randrange(2)),
                }
                for _ in range(6)
            ]
            _write(root, f"data/tickets-{number}.json", as_json(tickets), author.day())


def _broken(root: Path, author: Author, labels: Labels, each: int) -> None:
    """Write files that no reader can make sense of."""
    rng = author.rng
    for number in range(each):
        page = Page(author.unique("{quality} {thing} of {part}"), tuple(author.paragraphs(3)), author.day())
        noise = bytes(rng.getrandbits(8) for _ in range(900))
        broken = {
            "truncated.pdf": as_pdf(page)[:200],
            "truncated.docx": as_docx(page)[:500],
            "scan.pdf": scanned_pdf(),
            "empty.txt": b"",
            "blank.md": b"  \n\n \t \n",
            "noise.docx": noise,
            "picture.png": b"\x89PNG\r\n\x1a\n" + noise,
            "broken.jsonl": b'{"text": "one", \n',
        }
        for name, content in broken.items():
            file = f"desktop/lost/{number}-{name}"
            _write(root, file, content, author.day())
            labels.unreadable.append(file)
    _write(
        root,
        "desktop/lost/page-called.pdf",
        as_html(Page("Misnamed", tuple(author.paragraphs(2)))),
        author.day(),
    )


def _write(root: Path, file: str, content: bytes, day: date) -> None:
    path = root / file
    if path.exists():
        raise ValueError(f"{file}: generated twice")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    stamp = datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()
    os.utime(path, (stamp, stamp))


def labels_json(labels: Labels) -> str:
    """Return the labels as JSON."""
    return json.dumps({"as_of": AS_OF.isoformat(), **asdict(labels)}, indent=1) + "\n"


def main() -> None:
    """Make a folder from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--voice", choices=sorted(VOICES), default="dev")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0)
    options = parser.parse_args()
    root = options.folder / "files"
    labels = make_folder(root, options.voice, options.seed, options.scale)
    (options.folder / "labels.json").write_text(labels_json(labels), encoding="utf-8")
    files = [path for path in root.rglob("*") if path.is_file()]
    print(f"{len(files)} files, {sum(path.stat().st_size for path in files) / 1e6:.1f} MB in {root}")


if __name__ == "__main__":
    main()
