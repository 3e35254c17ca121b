"""Conflicts: the same subject and attribute, and values that cannot both hold. Few and sure rather than many.

Two claims conflict when they name the same things, are narrowed by the same words, say mostly the same about them, and
differ in the value. Versions of one document do not conflict, the older one is stale; nor does what says it is stale.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from forge.data.audit.claims import Claim, names_in
from forge.data.audit.words_of_claims import STOP, WORD, stem, synonym, weight

RECORD = re.compile(
    r"\d{3}|\d[-./]\d|\b(?:part|chapter|lesson|module|unit|session|day|week|phase|step|volume) \d",
    re.IGNORECASE,
)
"""A title with a date or a number is of a record: what happened once is no subject of others; nor is a part of many."""
LEAST_OVERLAP = 0.6
"""Weight of the terms two claims share, of the one that has fewer."""
LEAST_JACCARD = 0.3
LEAST_OVERLAP_OF_NUMBERS = 0.75
"""A bare number has no unit that would say what it is."""
LEAST_SHARED_WEIGHT = 1.0
LEAST_SHARED_WEIGHT_OF_KEYS = 1.3
"""`timeout_seconds` alone may be any."""
RULE = re.compile(r"\b(?:must|shall|ha(?:ve|s) to|needs? to|(?:is|are) (?:due|required))\b", re.IGNORECASE)
LEAST_OVERLAP_OF_RULES = 0.9
LEAST_SHARED_WEIGHT_OF_RULES = 3.0
"""A rule names nothing, so it must say nearly the same, and not little."""
WORD_OF_PLACE = re.compile(r"[A-Za-z0-9'’&]+")
MOST_NAME_WORDS = 4
MOST_CLAIMS_OF_A_SUBJECT = 400
"""More claims of one kind about one thing are a table in prose, compared only with their neighbours."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two claims that cannot both hold, and whoever else says so."""

    subject: str
    attribute: str
    first: Claim
    second: Claim
    others: tuple[Claim, ...]
    """Further claims on the same, either value."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known of the documents that claims come from."""

    titles: Mapping[int, str]
    talk: Collection[int]
    """Documents that are about many things: chat and mail. Their titles are no subject."""
    over: Collection[int]
    """Stale documents; what they claim is not in force."""
    family_of: Mapping[int, int]
    copy_of: Mapping[int, int]
    lower_words: Mapping[str, int]
    """In how many documents a word stands in lower case."""


def find_conflicts(claims: Sequence[Claim], about: Surroundings) -> list[Conflict]:
    """Return the conflicts among `claims`, the order of subjects alphabetical."""
    live = [claim for claim in claims if claim.document not in about.over]
    subjects = _Subjects(live, about)
    groups: dict[tuple[frozenset[str], str], list[Claim]] = defaultdict(list)
    for claim in live:
        subject = subjects(claim)
        if subject:
            groups[subject, claim.dimension].append(claim)
    found = []
    for (subject, _), group in groups.items():
        if len(group) > 1:
            found += _in_group(subject, group[:MOST_CLAIMS_OF_A_SUBJECT], about)
    found += _of_rules([claim for claim in live if subjects.names_nothing(claim)], about)
    return sorted(found, key=lambda one: (one.subject, one.attribute, one.first.document))


class _Subjects:
    """Tells what a claim is about: the names in its sentence, or else the one its document is about."""

    def __init__(self, claims: Sequence[Claim], about: Surroundings) -> None:
        self._about = about
        self._names: set[str] = set()
        """What stands capitalised within a sentence somewhere: there it is a name."""
        for claim in claims:
            for sequence in claim.capitals:
                if not _begins(claim, sequence):
                    self._names.add(_levelled(sequence))
        self._names.discard("")
        self._titles: dict[int, frozenset[str]] = {}
        for document, title in about.titles.items():
            if document in about.talk or RECORD.search(title):
                continue
            candidates = [_levelled(name) for name in names_in(title)]
            known: list[str] = [
                name for name in candidates if name in self._names and not self._is_word(name)
            ]
            if known:
                # Of 'Travel Policy' and 'Policy' the longer one; of two apart, the first.
                best = known[0]
                longer = [name for name in known if best in name]
                self._titles[document] = frozenset([max(longer, key=len)])

    def __call__(self, claim: Claim) -> frozenset[str]:
        if claim.named:
            return self._known_in(claim.named)
        own = frozenset(name for sequence in claim.capitals if (name := self._name(sequence, claim)))
        if not own:
            return self._titles.get(claim.document, frozenset())
        # 'This Agreement' is another one in each document: a capital alone makes no name of a word.
        return own if any(not self._is_word(name) for name in own) else frozenset()

    def names_nothing(self, claim: Claim) -> bool:
        """Whether a sentence has no name in it, whatever its document is about."""
        return not claim.named and not any(self._name(sequence, claim) for sequence in claim.capitals)

    def _known_in(self, places: Sequence[str]) -> frozenset[str]:
        """Return the longest known name in the first of `places` that has one."""
        for place in places:
            words = [word.lower() for word in WORD_OF_PLACE.findall(place)]
            for count in range(MOST_NAME_WORDS, 0, -1):
                for start in range(len(words) - count + 1):
                    name = _levelled(" ".join(words[start : start + count]))
                    if name in self._names and not self._is_word(name):
                        return frozenset([name])
        return frozenset()

    def _name(self, sequence: str, claim: Claim) -> str:
        """Return the name in a capitalised sequence; '' when it is the first word of a sentence and nothing more."""
        if not _begins(claim, sequence):
            return _levelled(sequence)
        words = sequence.split()
        for place in range(1, len(words) - 1):
            # 'Resellers of Blue Heron', where Blue Heron is known.
            if words[place] in ("of", "for") and _levelled(" ".join(words[place + 1 :])) in self._names:
                return _levelled(" ".join(words[place + 1 :]))
        if len(words) > 1 and words[0].lower() in STOP and words[1][0].isupper() and not words[1].isupper():
            return _levelled(" ".join(words[1:]))  # 'In Japan': what follows is within the sentence
        while (
            words
            and not (len(words) == 2 and words[1].isdigit())
            and (
                words[0].lower() in STOP
                or (
                    (len(words) == 1 or _levelled(" ".join(words)) not in self._names)
                    and self._is_word(words[0].lower())
                )
            )
        ):
            words = words[1:]
        name = _levelled(" ".join(words))
        if all(word.isupper() and len(word) <= 5 for word in words):
            return ""
        return name if len(words) > 1 or (name in self._names and not self._is_word(name)) else ""

    def _is_word(self, name: str) -> bool:
        """Whether a name is a word like any other, which documents write in lower case as well."""
        return " " not in name and self._about.lower_words.get(name, 0) > 0


def _begins(claim: Claim, sequence: str) -> bool:
    """Whether a capitalised sequence begins its sentence, where a capital says nothing."""
    return not claim.sentence[: max(0, claim.sentence.find(sequence.split()[0]))].strip(" \"'(*_-[")


def _levelled(name: str) -> str:
    words = name.lower().replace("’", "'").strip(" .,'\"*_").split()
    return " ".join(words[1:] if words[:1] in (["the"], ["our"]) else words)


def _in_group(subject: frozenset[str], group: list[Claim], about: Surroundings) -> list[Conflict]:
    """Return the conflicts among claims of one subject and dimension: each pair of values once for an attribute."""
    links: list[tuple[float, int, int]] = []
    alike: dict[int, set[int]] = defaultdict(set)
    for one, a in enumerate(group):
        for other in range(one + 1, len(group)):
            b = group[other]
            overlap = _same_attribute(a, b)
            if overlap <= 0:
                continue
            alike[one].add(other)
            alike[other].add(one)
            if not _same_value(a, b) and _apart(a, b, about):
                links.append((overlap, one, other))
    found: list[Conflict] = []
    used: set[int] = set()
    for _, one, other in sorted(links, key=lambda link: (-link[0], link[1], link[2])):
        if one in used or other in used:
            continue
        others = sorted((alike[one] | alike[other]) - {one, other})
        used |= {one, other, *others}
        a, b = group[one], group[other]
        found.append(
            Conflict(", ".join(sorted(subject)), _attribute(a, b), a, b, tuple(group[n] for n in others))
        )
    return found


def _of_rules(nameless: Sequence[Claim], about: Surroundings) -> list[Conflict]:
    """Return the conflicts between what people tell each other must be done, and the document that says it.

    Contracts have one rule with different values, rightly: where documents differ, chat agrees with one of them.
    """
    said: dict[str, list[Claim]] = defaultdict(list)
    written: dict[str, list[Claim]] = defaultdict(list)
    for claim in nameless:
        if claim.value is not None and RULE.search(claim.sentence):
            (said if claim.document in about.talk else written)[claim.dimension].append(claim)
    found: dict[int, Conflict] = {}
    for dimension, messages in said.items():
        rules = written.get(dimension, [])[:MOST_CLAIMS_OF_A_SUBJECT]
        for message in messages[:MOST_CLAIMS_OF_A_SUBJECT]:
            alike = [rule for rule in rules if _is_same_rule(rule, message)]
            if not alike or _same_value(alike[0], message):
                continue
            if any(not _same_value(alike[0], rule) for rule in alike[1:]) or not _apart(
                alike[0], message, about
            ):
                continue
            subject = about.titles.get(alike[0].document, "").lower()
            first = found.setdefault(
                id(alike[0]),
                Conflict(subject, _attribute(alike[0], message), alike[0], message, tuple(alike[1:])),
            )
            if first.second is not message:
                found[id(alike[0])] = replace(first, others=(*first.others, message))
    return list(found.values())


def _is_same_rule(rule: Claim, message: Claim) -> bool:
    return (
        weight(rule.terms & message.terms) >= LEAST_SHARED_WEIGHT_OF_RULES
        and _same_attribute(rule, message) >= LEAST_OVERLAP_OF_RULES
    )


def _attribute(a: Claim, b: Claim) -> str:
    """Return what two claims are about in the words of the first."""
    if a.role or b.role:
        return " ".join(a.role if len(a.role) >= len(b.role) else b.role)
    shared = a.terms & b.terms
    words = [word.lower() for word in WORD.findall(a.sentence) if synonym(stem(word)) in shared]
    return " ".join(dict.fromkeys(words)) or " ".join(sorted(shared))


def _same_attribute(a: Claim, b: Claim) -> float:
    """Return the overlap of what two claims say, 0 when they need not be about the same."""
    if a.scope != b.scope or a.days != b.days:
        return 0.0
    if a.dimension == "person":
        return 1.0 if _same_role(a.role, b.role) else 0.0
    assert a.value is not None
    assert b.value is not None
    if a.value.per and b.value.per and not a.value.per & b.value.per:
        return 0.0
    if a.named or b.named:
        # A key has no sentence around it that would say what else it depends on: it must say the same, word for word.
        said = {term for term in a.terms if weight(frozenset([term])) == 1}
        same = bool(said) and said == {term for term in b.terms if weight(frozenset([term])) == 1}
        return 1.0 if same and weight(a.terms & b.terms) >= LEAST_SHARED_WEIGHT_OF_KEYS else 0.0
    unit = weight(frozenset(a.dimension.split()[1:])) if a.dimension.startswith("rate ") else 0.0
    shared = weight(a.terms & b.terms) + unit
    fewer = min(weight(a.terms), weight(b.terms)) + unit
    least = LEAST_OVERLAP_OF_NUMBERS if a.dimension == "number" else LEAST_OVERLAP
    if (
        shared < LEAST_SHARED_WEIGHT
        or shared < least * fewer
        or shared < LEAST_JACCARD * (weight(a.terms | b.terms) + unit)
    ):
        return 0.0
    return shared / fewer


def _same_role(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    if not a or not b or a[-1] != b[-1]:
        return False
    return not a[:-1] or not b[:-1] or a[:-1] == b[:-1]


def _same_value(a: Claim, b: Claim) -> bool:
    if a.value is None or b.value is None:
        one, other = a.person.lower().split(), b.person.lower().split()
        # 'J. Smith' and 'Smith' may be John Smith.
        return one == other or one[-1] == other[-1]
    return a.value.same_as(b.value)


def _apart(a: Claim, b: Claim, about: Surroundings) -> bool:
    """Whether two claims come from documents that should agree: neither one document, nor versions or copies of one."""
    one, other = (about.copy_of.get(claim.document, claim.document) for claim in (a, b))
    if one == other:
        return False
    families = about.family_of.get(one), about.family_of.get(other)
    return families[0] is None or families[0] != families[1]
