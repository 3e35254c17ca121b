"""Documents that are over: they say so, ran out, were last looked at years ago, or link to what is gone.

A document must speak of itself. 'The v1 endpoint is deprecated' says nothing about the page it stands on, and minutes
of 2015 are as true as ever.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from urllib.parse import unquote

import re2

from forge.data.statements import HEAD_LINES, LABEL_END, MOST_LINE_CHARACTERS, Stated, head_and_tail
from forge.data.written_dates import find_days

SUPERSEDED = "says that it is superseded"
EXPIRED = "its validity has ended"
LONG_PAST = "last reviewed long ago"
OVERDUE = "its review is overdue"
TOOK_PLACE = "it announces what is long past"
DEAD_LINK = "links to a document that is gone"
OLDER_VERSION = "a newer version is there"

REVIEW_YEARS = 4
"""A document that names its last review is long past when that was more years ago."""
OVERDUE_DAYS = 365
ANNOUNCEMENT_WORDS, ANNOUNCED_DAYS = 200, 180
"""A text no longer than this that says when something takes place is about that."""
ANNOUNCES = re.compile(
    r"\b(?:takes? place|will be held|register|sign up|rsvp|reply|save the date|join us)\b"
    r"[^.!?]{0,40}?(?:on|by|before|until|for|:)"
    r"\s+(?:\w+day,?\s+)?(?:the\s+)?$",
    re.IGNORECASE,
)
ITSELF = (
    r"(?:document|page|wiki page|policy|guide|guideline|handbook|manual|procedure|process description|runbook|playbook|"
    r"instructions?|article|version|edition|wiki|file|spreadsheet|presentation|deck|template|form|specification|spec|"
    r"standard|agreement|notice|checklist|faq|readme|draft|directive|memo|plan)s?"
)
OVER = (
    r"(?:deprecated|obsolete|superseded|replaced|archived|outdated|withdrawn|retired|rescinded|revoked|stale|"
    r"discontinued|out[- ]of[- ]date|expired|historical|legacy|abandoned|cancelled|repealed|"
    r"no longer (?:\w+ )?(?:maintained|valid|in force|current|applicable|used|in use|accurate|up[- ]to[- ]date|updated|"
    r"effective|supported|relevant|binding))"
)
SELF_STATEMENT = re.compile(
    rf"\b(?:this|these|the present)\s+(?:\w+\s+){{0,2}}?{ITSELF}\b(?:\s+\w+){{0,2}}?\s+"
    r"(?:is|are|was|were|has been|have been|became|has become)\s+(?:now\s+|since\s+|hereby\s+|"
    rf"officially\s+|considered\s+)?{OVER}\b",
    re.IGNORECASE,
)
DO_NOT_USE = re.compile(
    r"\b(?:do not|don't|please do not|must not|should not)\s+(?:use|follow|rely on|refer to|"
    rf"distribute)\s+this\s+(?:\w+\s+)?{ITSELF}\b"
    rf"|\b(?:kept|retained|preserved)\s+(?:here\s+)?(?:only\s+)?(?:for|as)\s+(?:a\s+)?(?:historical\s+)?"
    r"(?:reference|record|archival purposes|historical purposes|the record)(?:\s+purposes)?\s+only\b",
    re.IGNORECASE,
)
GERMAN = re.compile(
    r"\b(?:diese[rs]?|das vorliegende|die vorliegende)\s+(?:\w+\s+)?(?:dokument|seite|richtlinie|anleitung|version|"
    r"fassung|handbuch|vorlage|regelung|arbeitsanweisung|dienstanweisung|betriebsvereinbarung|prozessbeschreibung)\s+"
    r"(?:ist|wurde|wird|gilt)\s+(?:(?:inzwischen|mittlerweile|nun|leider|hiermit|seit \w+)\s+)?"
    r"(?:veraltet|überholt|abgelöst|ersetzt|aufgehoben|außer kraft|nicht (?:mehr|länger))\b",
    re.IGNORECASE,
)
OVER_WORD = re2.compile(
    r"(?i)veraltet|überholt|abgelöst|ersetzt|aufgehoben|außer kraft|nicht mehr|nicht länger|"
    r"deprecat|obsolete|supersed|replaced|archiv|outdated|withdrawn|retired|rescinded|revoked|stale|discontinued|"
    r"out[- ]of[- ]date|expired|historical|legacy|abandoned|cancelled|repealed|no longer|do not|"
    r"don't|must not|should not|only"
)
STATUS = re.compile(
    rf"^\W*(?:document |page |doc |current )?(?:status|state|lifecycle)\W{{1,4}}{OVER}\b", re.IGNORECASE
)
BANNER = re.compile(
    r"^\W*(?:\[\s*(?:DEPRECATED|OBSOLETE|ARCHIVED?|SUPERSEDED|OUTDATED|WITHDRAWN|RETIRED)\s*\]"
    r"|(?:DEPRECATED|OBSOLETE|ARCHIVED|SUPERSEDED|OUTDATED|WITHDRAWN)\b(?=\W*(?:$|[:!.—–-]))"
    r"|(?i:superseded by|replaced by|obsoleted by|deprecated in favou?r of)\b"
    r"|(?i:(?:warning|caution|attention|note|notice)\W+)?"
    r"(?i:do not use(?: any ?more)?|no longer (?:used|in use|valid|maintained))"
    r"(?=\W*(?:$|[.!—–-])))"
)
NOT_SO = re.compile(
    r"\b(?:not|never|isn't|unless|until|if|once|when|before|will be|would be|may be|can be)\b", re.IGNORECASE
)

EXPIRY = re.compile(
    r"\b(?:valid|effective|applicable|apply|applies|in force|in effect|binding|"
    r"good)\s*(?:only\s+)?(?:until|till|through|thru|to|up to)"
    rf"{LABEL_END}|\b(?:expires?|expiry|expiration|expired|valid until|ends|validity ends){LABEL_END}",
    re.IGNORECASE,
)
EXPIRY_WORD = re2.compile(r"(?i)\b(?:until|till|to|thru|through|expir\w+|ends|validity)\W+(?:\w+\W+){0,4}\d")
EXPIRY_SUBJECT = re.compile(
    rf"\b(?:this|these|the)\s+(?:\w+\s+)?(?:{ITSELF}|offer|rules?|terms?|instruction|contract|"
    r"price list|prices|arrangement|exception|"
    r"regulation|quote|certificate)s?\b|^\W*(?:valid|expir|effective|in force)",
    re.IGNORECASE,
)
NEXT_REVIEW = re.compile(
    rf"\b(?:next review|review due|review by|to be reviewed by|due for review){LABEL_END}", re.IGNORECASE
)
MARKDOWN_LINK = re.compile(r"(?<!!)\[[^\]\n]{1,200}\]\(\s*<?([^)\s>]+)>?[^)\n]{0,100}\)")
HTML_LINK = re.compile(r"<a\s[^>]{0,300}?href\s*=\s*[\"']([^\"'>\s]+)[\"']", re.IGNORECASE)
DOCUMENT_SUFFIXES = (
    ".md .markdown .rst .txt .html .htm .pdf .docx .doc .pptx .ppt .xlsx .xls .csv .odt .rtf .eml".split()
)


@dataclass(frozen=True, slots=True)
class Signal:
    """One reason why a document is stale, and the words that say so."""

    reason: str
    passage: str
    day: date | None = None


def stale_signals(text: str, title: str, stated: Stated, as_of: date) -> Iterator[Signal]:
    """Yield what `text` says of itself that makes it stale on the day `as_of`; `stated` is what it says of its age."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    for line in head_and_tail(lines):
        for day in find_days(line):
            before = line[: day.start]
            if NEXT_REVIEW.search(before) and as_of - day.day > timedelta(days=OVERDUE_DAYS):
                yield Signal(OVERDUE, line, day.day)
    yield from _over(title, lines)
    yield from _expired(lines, as_of)
    yield from _took_place(lines, as_of)
    if stated.reviewed is not None and (as_of - stated.reviewed).days > REVIEW_YEARS * 365.25:
        yield Signal(LONG_PAST, f"last reviewed {stated.reviewed.isoformat()}", stated.reviewed)


def _over(title: str, lines: list[str]) -> Iterator[Signal]:
    """Yield the first passage in which the document says that it is over."""
    for line in (title, *lines[:HEAD_LINES]):
        if BANNER.search(line[:200]) or STATUS.search(line[:200]):
            yield Signal(SUPERSEDED, line[:MOST_LINE_CHARACTERS])
            return
    for line in lines:
        if not OVER_WORD.search(line):
            continue
        for pattern in (SELF_STATEMENT, DO_NOT_USE, GERMAN):
            for found in pattern.finditer(line):
                start = max(line.rfind(". ", 0, found.start()) + 1, found.start() - 60)
                if not NOT_SO.search(
                    line[start : found.end()]
                    .replace("do not", "")
                    .replace("must not", "")
                    .replace("should not", "")
                ):
                    yield Signal(SUPERSEDED, _around(line, found.start(), found.end()))
                    return


def _expired(lines: list[str], as_of: date) -> Iterator[Signal]:
    for line in lines:
        if not EXPIRY_WORD.search(line):
            continue
        for day in find_days(line):
            before = line[max(0, day.start - 120) : day.start]
            sentence = before[before.rfind(". ") + 1 :]
            if day.day < as_of and EXPIRY.search(sentence) and EXPIRY_SUBJECT.search(sentence):
                yield Signal(EXPIRED, _around(line, max(0, day.start - 60), day.end), day.day)
                return


def _took_place(lines: list[str], as_of: date) -> Iterator[Signal]:
    """Yield the last day on which what a short text announces takes place, when that is long past."""
    if sum(len(line.split()) for line in lines) > ANNOUNCEMENT_WORDS:
        return
    days = [
        (day.day, line) for line in lines for day in find_days(line) if ANNOUNCES.search(line[: day.start])
    ]
    if days and as_of - max(days)[0] > timedelta(days=ANNOUNCED_DAYS):
        yield Signal(TOOK_PLACE, max(days)[1][:MOST_LINE_CHARACTERS], max(days)[0])


def _around(line: str, start: int, end: int) -> str:
    return line[max(0, start - 80) : end + 80].strip()


def links(text: str, markup: str) -> list[str]:
    """Return the targets of links to documents that lie beside this one: relative, with a document's extension."""
    targets = [*MARKDOWN_LINK.findall(text), *HTML_LINK.findall(markup)]
    found = []
    for target in targets:
        bare = unquote(target.partition("#")[0].partition("?")[0])
        if ":" in bare or bare.startswith(("/", "{", "$")) or "\\" in bare:
            continue
        if bare.lower().endswith(tuple(DOCUMENT_SUFFIXES)):
            found.append(bare)
    return list(dict.fromkeys(found))


def dead(path: str, targets: list[str], there: frozenset[str]) -> list[str]:
    """Return the targets that no file of the source has, seen from `path`.

    Those that lead out of the source are not judged.
    """
    missing = []
    for target in targets:
        place = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if not place.startswith("..") and place not in there:
            missing.append(target)
    return missing
