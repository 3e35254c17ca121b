"""Claims: sentences that say what holds now, with one value. Whatever is past, asked, proposed or hedged is none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import re2

from forge.data.audit.sentences import Sentence, sentences
from forge.data.audit.values import MAY_HAVE_VALUE, Value, find_values, numbered_things
from forge.data.audit.words_of_claims import WORD, content_terms, weight

MOST_CLAIMS = 80
"""Kept of one document."""
MOST_WEIGHT = 9.0
"""A sentence about more than this many things is not about one."""

STATES = re2.compile(
    r"(?i)\b(?:is|are|be|gets?)\s+(?:\w+ly\s+|also\s+|always\s+|then\s+)?"
    r"(?:reported|measured|closed|opened|sent|received|paid|found|spent|run)\b"
    r"|\bpaid\s+(?:\w+\s+)?(?:leave|holidays?|vacation|absence|time[ -]off)\b"
)
"""Of the forms below those that tell how things are: 'incidents are reported within 3 days', 'days of paid leave'."""
NOT_IN_FORCE = re2.compile(
    r"(?i)\b(?:was|were|had|used to|been|previous(?:ly)?|former(?:ly)?|prior to|until|till|"
    r"back (?:in|then)|history|historical(?:ly)?|"
    r"originally|initially|at the time|in the past|no longer|not any ?more|old|earlier|once|"
    r"went from|changed from|raised from|lowered from|increased|decreased|reduced|raised|lowered|"
    r"moved from|instead of|rather than|"
    r"yesterday|last (?:week|month|year|quarter)|this (?:week|month|morning|afternoon)|today|"
    r"became|stood|went|rose|fell|before|came|took|saw|"
    r"got|found|noticed|reported|measured|lost|ran|spent|paid|closed|opened|sent|received)\b"
    r"|^\W*(?:19|20)\d\d\s*[:–-]"
)
NOT_SETTLED = re2.compile(
    r"(?i)\?|\b(?:should|could|would|might|whether|suppose|assum(?:e|ing)|if|unless|propos\w+|suggest\w*|recommend\w*|consider\w*|"
    r"discuss\w*|wonder\w*|idea|ask(?:s|ed)?|want(?:s|ed)? to|hope\w*|think\w*|maybe|perhaps|"
    r"probably|about|around|roughly|"
    r"approximately|approx|nearly|almost|estimate\w*|expect\w*|target\w*|goal|aim\w*|for example|"
    r"e\.g|such as|example|draft|"
    r"average|mean|median|compar\w+|than the|more than half|except\w*|option\w*|either|range\w*|"
    r"varies|depend\w*|not sure|"
    r"exception\w*|negotiat\w+|competitor\w*|hypothetical\w*|simulat\w+)\b"
)
SCOPE_WORDS = re2.compile(
    r"(?i)\b(?:enterprise|premium|basic|free (?:plan|tier|edition|version)|pro|plus|lite|mini|standard|gold|silver|"
    r"bronze|academic|student|students|"
    r"pilot|partner|partners|resellers?|staging|sandbox|production|prod|test|development|preview|beta|internal|external|eu|us|uk|"
    r"apac|emea|dach|europe|germany|france|subsidiar\w+|branch|region\w*|country|countries|tenant|"
    r"on[- ]premises?|self[- ]hosted|"
    r"cloud|weekends?|holidays|night|nights|part[- ]time|full[- ]time|managers?|executives?|"
    r"contractors?|interns?|apprentices?|"
    r"juniors?|seniors?|new (?:customers|hires|employees)|existing customers|legacy|mobile|desktop|"
    r"urgent|critical|priority|"
    r"severity|p[1-4]|sev[ -]?[1-4]|first|second|third|additional|extra|each additional|discount\w*|"
    r"promotion\w*|not|never|only|"
    r"additionally|read|write|inbound|outbound|incoming|outgoing)\b",
)
"""Words that narrow what a sentence is about: two claims must have the same ones."""

HAPPENED = re.compile(r"(?:^|[\s,;])(?P<before>[\w'’-]+)\s+(?P<verb>[a-z]+ed)\b")
BEFORE_PARTICIPLE = frozenset(
    "is are be being get gets the a an and or as each every of per to with for in by not at on from "
    "into no any our your its "
    "their one all than also currently now only if when where once automatically".split()
)
"""After these a word in -ed is a state ('is limited to', 'the agreed fee'); after a noun it tells what happened."""
BEFORE_DATE = re.compile(
    r"(?:[:=>]|\b(?:is|are|on|by|for|at|from|as of|due|starts?|begins?|launch\w*|end(?:s|ing)?|to))\s*(?:the\s)?$",
    re.IGNORECASE,
)
"""A date that a sentence says something about, and not one that merely stands in it."""

NAME = r"(?P<name>[A-Z][\w'’-]+(?: [A-Z][\w'’-]+){1,2})"
NAME_END = r"(?=\s*(?:[.,;:!)]|$))"
ROLE = (
    r"(?P<role>(?:[a-z-]+ ){0,2}(?:owner|lead|leader|manager|maintainer|contact|approver|coordinator|"
    r"sponsor|administrator|"
    r"director|steward|head|officer|responsible))"
)
VERB_ROLES = {
    "owns": "owner", "owned": "owner", "leads": "lead", "led": "lead", "heads": "lead", "headed": "lead",
    "manages": "manager", "managed": "manager", "maintains": "maintainer", "maintained": "maintainer",
    "coordinates": "coordinator", "coordinated": "coordinator", "approves": "approver", "sponsors": "sponsor",
    "administers": "administrator", "administered": "administrator",
}  # fmt: skip
PERSON_WORD = re2.compile(
    r"(?i)\b(?:own(?:s|ed|er)|lead(?:s|er)?|led|head(?:s|ed)?|manag|maintain|coordinat|approv|sponsor|administ|responsib|charge|"
    r"accountable|contact|director|steward|officer|escalations?|questions|requests|complaints)"
)
PEOPLE = tuple(
    re.compile(form)
    for form in (
        rf"^{NAME} (?:now |currently )?(?P<verb>owns|leads|heads|manages|maintains|coordinates|approves|"
        r"sponsors|administers) ",
        r"\bis (?:now |currently )?(?P<verb>owned|led|headed|managed|maintained|coordinated|"
        rf"administered) by {NAME}{NAME_END}",
        rf"^{NAME} is (?:now |currently )?(?:the )?(?:[Rr]esponsible|in charge|accountable) (?:for|of) ",
        rf"^{NAME} is (?:now |currently )?(?:the |our )?{ROLE} (?:of|for) ",
        rf"(?i:\b{ROLE})(?: (?:of|for) [^.:]{{2,60}}?)? (?:is|remains) (?:now |currently )?(?-i:{NAME}){NAME_END}",
        rf"^(?i:{ROLE})(?: (?:of|for) [^.:]{{2,60}}?)?\s?[:=] ?{NAME}{NAME_END}",
        r"(?i:\b(?P<role>escalations?|questions|requests|complaints|"
        rf"approvals))\b[^.]{{0,60}}? (?:go(?:es)?|are addressed|should be sent|are sent) to {NAME}{NAME_END}",
    )
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence with one value in it."""

    document: int
    sentence: str
    heading: str
    line: int
    dimension: str
    value: Value | None
    """None for a person."""
    person: str
    role: tuple[str, ...]
    """Words of a person's role, the last one its head."""
    terms: frozenset[str]
    """What the sentence is about, the value and capitalised words left out."""
    scope: frozenset[str]
    days: frozenset[float]
    """Other dates in the sentence."""
    capitals: tuple[str, ...]
    """Capitalised sequences, the value left out; which of them name something, the whole corpus tells."""
    named: tuple[str, ...] = ()
    """Of a table or settings: where a name the corpus knows may stand, the surest place first."""

    @property
    def shown_value(self) -> str:
        """The value as it is written."""
        return self.person or (self.sentence[self.value.start : self.value.end].strip() if self.value else "")


def find_claims(number: int, text: str) -> Iterator[Claim]:
    """Yield the claims of a text, at most MOST_CLAIMS."""
    count = 0
    for sentence in sentences(text):
        for claim in _claims(number, sentence):
            yield claim
            count += 1
            if count == MOST_CLAIMS:
                return


ADDRESS = re.compile(r"://|`|\\[\[(]")
"""Links, code and what only a program reads are full of numbers that say nothing."""


def _claims(number: int, sentence: Sentence) -> Iterator[Claim]:
    text = sentence.text
    if ADDRESS.search(text):
        return
    if person := _person(number, sentence):
        yield person
        return
    if (
        not MAY_HAVE_VALUE.search(text)
        or NOT_IN_FORCE.search(STATES.sub(" ", text))
        or NOT_SETTLED.search(text)
        or _tells_what_happened(text)
    ):
        return
    values = list(find_values(text))
    for value in values:
        alike = [other for other in values if other.dimension.split()[0] == value.dimension.split()[0]]
        if len(alike) > 1:
            continue
        if value.dimension == "date" and not BEFORE_DATE.search(text[: value.start]):
            continue
        rest = f"{text[: value.start]} {text[value.end :]}"
        days = frozenset(other.amount for other in values if other.dimension == "date" and other is not value)
        claim = _claim(number, sentence, value.dimension, value, "", (), rest, days)
        if claim is not None:
            yield claim


def _tells_what_happened(text: str) -> bool:
    return any(
        found.group("before").lower() not in BEFORE_PARTICIPLE
        and not found.group("before").lower().endswith("ly")
        for found in HAPPENED.finditer(text)
    )


def _person(number: int, sentence: Sentence) -> Claim | None:
    text = sentence.text
    if not PERSON_WORD.search(text):
        return None
    for pattern in PEOPLE:
        found = pattern.search(text)
        if found is None:
            continue
        if NOT_IN_FORCE.search(text) or NOT_SETTLED.search(text):
            return None
        groups = found.groupdict()
        role = VERB_ROLES.get(groups.get("verb") or "", groups.get("role") or "owner").lower().split()
        start, end = found.span("name")
        if re.match(r"\s*(?:,|and|or|&)\s", text[end:]) or re.search(r"\b(?:and|or|&)\s*$", text[:start]):
            return None  # one of several people
        role = [word for word in role if word not in ("the", "our", "a", "main", "is")]
        rest = f"{text[:start]} {text[end:]}"
        return _claim(number, sentence, "person", None, found.group("name"), tuple(role), rest, frozenset())
    return None


def _claim(
    number: int,
    sentence: Sentence,
    dimension: str,
    value: Value | None,
    person: str,
    role: tuple[str, ...],
    rest: str,
    days: frozenset[float],
) -> Claim | None:
    capitals, plain = _capitals(rest)
    terms = content_terms(plain)
    if weight(terms) > MOST_WEIGHT:
        return None
    narrowed = (
        *SCOPE_WORDS.findall(rest),
        *numbered_things(rest),
        *YEAR.findall(rest),
        *_narrowing(sentence.text),
    )
    scope = frozenset(word.lower() for word in narrowed)
    return Claim(
        number,
        sentence.text,
        sentence.heading,
        sentence.line,
        dimension,
        value,
        person,
        role,
        terms,
        scope,
        days,
        capitals,
    )


CAPITAL = re.compile(
    r"[A-Z](?:[\w&+'’-]|\.(?=\w))*(?:\s+(?:(?:of|and|for|the|of the|for the|de|du|der|"
    r"von)\s+)?(?:[A-Z](?:[\w&+'’-]|\.(?=\w))*)|\s+\d{1,4}(?![\w%.,]))*"
)
"""Also with the small words inside names: Code of Conduct."""


YEAR = re.compile(r"\b(?:19|20)\d\d\b")
CASE = re.compile(
    r"^(?:For|In|On|At|With|During|Under|Within) (?P<case>(?:[a-z][\w'’-]* ){1,5}?)(?:the\b|our\b|a\b|an\b|(?=[A-Z]))"
)
"""'For public authorities the fee of X is': it holds for them alone."""
PART = re.compile(
    r"^(?P<part>[A-Z][\w'’-]*(?: [a-z][\w'’-]*){0,3}) (?:of|for|in|on) (?:the )?[A-Z][^.:]{1,50}? "
    r"(?:has|have|gets?|comes? with)\b"
)
"""'Trial accounts of X have': it is said of them and not of X."""
WHOLE = frozenset("each every all any a an the our".split())


def _narrowing(text: str) -> list[str]:
    """Return the phrases at the head of a sentence that narrow what it is about."""
    found = []
    if case := CASE.match(text):
        found.append(case.group("case").strip())
    elif (part := PART.match(text)) and part.group("part").split()[0].lower() not in WHOLE:
        found.append(part.group("part"))
    return found


DEFINED_HERE = re.compile(r"\b(?:this|these|such|said|the present)\s+$", re.IGNORECASE)


def _capitals(text: str) -> tuple[tuple[str, ...], str]:
    """Return the capitalised sequences of a sentence, and the sentence without them. Short acronyms stay words."""
    found: list[str] = []

    def take(match: re.Match[str]) -> str:
        words = match.group().split()
        if all(word.isupper() and len(word) <= 5 for word in words if word[0].isalpha()):
            return match.group()
        if DEFINED_HERE.search(text[: match.start()]):
            return match.group()  # 'this Agreement' is another one in each document
        found.append(" ".join(word.removesuffix("'s").removesuffix("’s") for word in words))
        return " ; "

    plain = CAPITAL.sub(take, text)
    return tuple(found), plain


def names_in(title: str) -> list[str]:
    """Return what a title may name: its parts between colons, dashes and bars, and the capitals in them."""
    found = []
    for part in re.split(r"\s*[:|–—]\s*|\s+-\s+|\s*[()]\s*", title):
        part = part.strip()
        if part and len(WORD.findall(part)) <= 5:
            found.append(part)
        found += [match.group() for match in CAPITAL.finditer(part)]
    return list(dict.fromkeys(found))
