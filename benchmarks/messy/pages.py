"""Pages of the generated company: minutes, incidents, guides, mails, tables and code, each different."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import date, timedelta

from benchmarks.messy.formats import Page
from benchmarks.messy.voice import Voice

AS_OF = date(2026, 6, 30)


@dataclass
class Draft:
    """A page on its way: lines may still be put between its blocks."""

    path: str
    """Without the extension."""
    extension: str
    title: str
    blocks: list[str]
    written: date
    author: str = ""
    rows: tuple[tuple[str, ...], ...] = field(default=())
    subject: str = ""
    """The product or policy that the whole page is about."""
    kind: str = "guide"

    @property
    def file(self) -> str:
        """The path with its extension."""
        return self.path + self.extension

    def put(self, rng: random.Random, line: str) -> None:
        """Put a block of its own somewhere after the first block."""
        self.blocks.insert(rng.randint(1, len(self.blocks)), line)

    def page(self) -> Page:
        """Return the finished page."""
        return Page(self.title, tuple(self.blocks), self.written, self.author, self.rows)


class Author:
    """Writes sentences, paragraphs and pages in one voice."""

    def __init__(self, rng: random.Random, voice: Voice) -> None:
        self.rng = rng
        self.voice = voice
        self._titles: set[str] = set()

    def person(self) -> str:
        """Return a name."""
        return f"{self.rng.choice(self.voice.first_names)} {self.rng.choice(self.voice.last_names)}"

    def sentence(self) -> str:
        """Return a sentence that states no fact about a product or policy."""
        rng, voice = self.rng, self.voice
        thing, thing2 = rng.sample(voice.things, 2)
        quality, quality2 = rng.sample(voice.qualities, 2)
        text = rng.choice(voice.fillers).format(
            P=self.person(),
            P2=self.person(),
            prod=rng.choice(voice.products),
            part=rng.choice(voice.parts),
            thing=thing,
            thing2=thing2,
            quality=quality,
            quality2=quality2,
            verb=rng.choice(voice.verbs),
            verb2=rng.choice(("checked", "signed", "archived", "copied", "renamed", "rolled out", "removed")),
            n=rng.randint(3, 60),
            week=rng.randint(1, 52),
        )
        return text[0].upper() + text[1:]

    def paragraphs(self, count: int, sentences: int = 4) -> list[str]:
        """Return paragraphs of about `sentences` sentences."""
        spread = range(max(2, sentences - 1), sentences + 2)
        return [" ".join(self.sentence() for _ in range(self.rng.choice(spread))) for _ in range(count)]

    def day(self, first: int = 2022, last: int = 2026) -> date:
        """Return a day of the years given, before AS_OF."""
        start = date(first, 1, 3)
        end = min(date(last, 12, 20), AS_OF - timedelta(days=20))
        return start + timedelta(days=self.rng.randrange((end - start).days))

    def unique(self, *forms: str) -> str:
        """Return a title nobody had yet, of one of the forms."""
        while True:
            title = self.rng.choice(forms).format(
                thing=self.rng.choice(self.voice.things),
                thing2=self.rng.choice(self.voice.things),
                part=self.rng.choice(self.voice.parts),
                quality=self.rng.choice(self.voice.qualities),
            )
            if title not in self._titles:
                self._titles.add(title)
                return title[0].upper() + title[1:]

    def guide(self, folder: str, extension: str) -> Draft:
        """Return a how-to page."""
        title = self.unique(
            "How to handle the {thing} of the {part}",
            "{part}: working with a {quality} {thing}",
            "Guide to the {thing} and the {thing2} in the {part}",
        )
        blocks: list[str] = []
        for heading in self.rng.sample(("Purpose", "Steps", "Background", "Who to ask", "Pitfalls"), 3):
            blocks += [f"# {heading}", *self.paragraphs(self.rng.randint(1, 2))]
        return Draft(f"{folder}/{slug(title)}", extension, title, blocks, self.day(), self.person())

    def minutes(self, extension: str) -> Draft:
        """Return the minutes of a meeting."""
        day = self.day()
        team = self.rng.choice(("Platform", "Sales", "Support", "Finance", "Design", "Operations", "People"))
        title = f"{team} weekly {day.isoformat()}"
        if title in self._titles:
            return self.minutes(extension)
        self._titles.add(title)
        present = ", ".join({self.person() for _ in range(4)})
        blocks = [f"Date: {day.isoformat()}", f"Present: {present}", "# Discussion", *self.paragraphs(2)]
        blocks += ["# Actions", *(self.sentence() for _ in range(3))]
        path = f"meetings/{day.year}/{slug(team)}-weekly-{day.isoformat()}"
        return Draft(path, extension, title, blocks, day, self.person(), kind="record")

    def incident(self, number: int, extension: str) -> Draft:
        """Return the report of an outage, full of numbers that hold for that day alone."""
        day, rng = self.day(), self.rng
        product, part = rng.choice(self.voice.products), rng.choice(self.voice.parts)
        title = f"Incident {number}: {part} of {product}"
        blocks = [
            f"Date of the incident: {day.isoformat()}",
            "# Summary\n".strip(),
            f"{product} was down for {rng.randint(4, 190)} minutes and {rng.randint(2, 900)} customers noticed. "
            + self.sentence(),
            "# Timeline",
            f"{rng.randint(0, 11):02}:{rng.randint(0, 59):02} {self.sentence()}",
            f"{rng.randint(12, 23)}:{rng.randint(0, 59):02} {self.sentence()}",
            "# Cause",
            *self.paragraphs(1),
            "# Follow-up",
            f"{self.person()} is responsible for the follow-up of incident {number}.",
            *self.paragraphs(1, 3),
        ]
        return Draft(f"incidents/INC-{number}", extension, title, blocks, day, self.person(), kind="record")

    def product_page(self, product: str, kind: str, extension: str) -> Draft:
        """Return a page that is all about one product."""
        title = f"{product}: {kind}"
        blocks: list[str] = []
        for heading in self.rng.sample(("Overview", "Operation", "Details", "Good to know"), 2):
            blocks += [f"# {heading}", *self.paragraphs(self.rng.randint(1, 2))]
        path = f"products/{slug(product)}/{slug(kind)}"
        return Draft(path, extension, title, blocks, self.day(2024), self.person(), subject=product)

    def policy(self, name: str, extension: str) -> Draft:
        """Return a policy."""
        blocks = [f"This policy is issued by {self.voice.company}."]
        for heading in ("Scope", "Rules", "Exceptions"):
            blocks += [f"# {heading}", *self.paragraphs(2)]
        return Draft(
            f"policies/{slug(name)}", extension, name, blocks, self.day(2024), self.person(), subject=name
        )

    def table(self, number: int, extension: str) -> Draft:
        """Return a sheet of bookings."""
        rng = self.rng
        rows = [("Date", "Item", "Contact", "Amount")]
        for _ in range(rng.randint(12, 40)):
            rows.append(
                (
                    self.day().isoformat(),
                    f"{rng.choice(self.voice.qualities)} {rng.choice(self.voice.things)}",
                    self.person(),
                    f"{rng.randint(10, 9000)}.{rng.randint(0, 99):02}",
                )
            )
        title = f"Bookings {number}"
        return Draft(
            f"finance/bookings-{number}", extension, title, [], self.day(), rows=tuple(rows), kind="table"
        )

    def code(self, number: int) -> tuple[str, bytes]:
        """Return the path and content of a source file."""
        rng = self.rng
        names = [f"{rng.choice(self.voice.things)} {rng.choice(self.voice.parts)}" for _ in range(9)]
        words = [name.replace("-", " ").replace(" ", "_") for name in names]
        suffix, make = rng.choice(((".py", _python), (".js", _javascript), (".sql", _sql)))
        lines = []
        for _ in range(rng.randint(4, 8)):
            a, b, c = rng.sample(words, 3)
            lines.append(make(rng, a, b, c, self.sentence()))
        return f"src/{words[0]}_{number}{suffix}", "\n\n".join(lines).encode()


def _python(rng: random.Random, a: str, b: str, c: str, remark: str) -> str:
    n = rng.randint(2, 900)
    return f'def {a}({b}: int) -> int:\n    """{remark}"""\n    {c} = {b} * {n}\n    return {c} + {rng.randint(1, 99)}'


def _javascript(rng: random.Random, a: str, b: str, c: str, remark: str) -> str:
    n = rng.randint(2, 900)
    return f"// {remark}\nfunction {a}({b}) {{\n  const {c} = {b} % {n};\n  return {c} || {rng.randint(1, 99)};\n}}"


def _sql(rng: random.Random, a: str, b: str, c: str, remark: str) -> str:
    return f"-- {remark}\nSELECT {a}, {b} FROM {c} WHERE {a} > {rng.randint(1, 9000)} ORDER BY {b};"


def slug(text: str) -> str:
    """Return a name for a file."""
    kept = "".join(c if c.isalnum() else "-" for c in text.lower())
    return "-".join(part for part in kept.split("-") if part)
