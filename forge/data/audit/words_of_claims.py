"""The words of business English that say the same, so that two sentences about one thing can be told to be that.

Nothing here is about any one company. A group stands for its first word; phrases are put together before words are cut.
"""

from __future__ import annotations

import functools
import re

PHRASES = (
    (r"general(?:ly)? availab(?:ility|le)|\bGA\b|go(?:es)?[- ]live|went live|roll(?:s|ed)? ?-?out", "launch"),
    (r"end[- ]of[- ]life|\bEOL\b|sunset", "endoflife"),
    (r"recovery time objective|\bRTO\b", "recovery objective"),
    (r"recovery point objective|\bRPO\b", "recoverypoint objective"),
    (r"set(?:ting)?[- ]up\b|\bonboarding fee", "setup"),
    (r"free of charge", "free"),
    (
        r"at most|up to|no more than|not more than|maximum of|max(?:es)? out|larger than|longer than|above|or less",
        "limit",
    ),
    (r"at least|no less than|not less than|minimum of|less than|or more", "minimum"),
    (r"in charge of|accountable for|responsible for", "owner"),
    (r"service level agreement|\bSLA\b", "sla"),
    (r"paid time off|\bPTO\b", "leave"),
    (r"go(?:es)? away", "delete"),
    (r"time[- ]?out", "timeout"),
    (r"sign[- ]?ups?", "signup"),
)  # fmt: skip
GROUPS = (
    "retention retain retained keep keeps kept store stored storage preserve preserved held delete deletes deleted "
    "remove removed purge purged erase erased",
    "limit limited limits cap caps capped maximum max ceiling quota threshold throttle throttled "
    "restrict restricted reject rejects",
    "minimum min least",
    "price priced pricing prices cost costs sold sell sells tariff pay pays",
    "fee charge charged charges billed bill bills",
    "request requests call calls query queries",
    "uptime availability available",
    "response respond responds reply replies answer answers react reaction",
    "launch launches launched release released releases",
    "leave vacation holiday holidays",
    "reimburse reimbursed reimbursement refunded",
    "hotel hotels accommodation lodging",
    "memory ram",
    "trial try tried",
    "recovery recover recovered restore restored back",
    "budget allowance allot allots stipend",
    "upload uploads uploaded",
    "log logs",
    "ticket tickets case cases",
    "employee employees staff worker workers colleague colleagues",
    "customer customers client clients",
    "vulnerability vulnerabilities",
    "outage disaster downtime",
    "endoflife discontinued retire retires",
    "require requires required requirement need needs needed must want wants",
    "last lasts run runs",
    "password passwords passphrase",
    "backup backups",
    "guarantee guarantees guaranteed promise promises commitment commit commits",
)
GENERIC = frozenset(
    "have has had having get gets got set sets use uses used make makes made come comes go goes say "
    "says said accept accepts "
    "allow allows grant grants give gives take takes may can period time date value amount number level day year month "
    "employee customer service product system company policy person people each every yearly one new current currently "
    "now plan planned after before hold holds reach reaches stand stands entitled entitle file files "
    "according apply applies page note require last guarantee anyone everyone default total overall "
    "key host hosts agreed "
    "btw fyi heads reminder please confirmed just per day today update contract end ends workspace".split()
)
GENERIC_WEIGHT = 0.3
STOP = frozenset(
    "a an the of to in on at by for from with as is are be been being am it its this that these "
    "those there here and or "
    "but nor so than then too very we our us you your they their them he she his her him i me my who whom which what "
    "will shall do does did not no all any some such only own same both more most other into over under out off again "
    "up down about against between through during also within up without upon via et al s t re ve ll d if".split()
)
WORD = re.compile(r"[A-Za-z][A-Za-z'’-]*[A-Za-z]|[A-Za-z]")


@functools.lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """Return `word` in lower case without the commonest English endings."""
    word = word.lower().replace("’", "'").removesuffix("'s").strip("'-")
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ses", "xes", "zes", "ches", "shes")):
        word = word[:-2]
    elif len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if len(word) > len(ending) + 3 and word.endswith(ending):
            word = word[: -len(ending)]
            if word[-1] == word[-2] and word[-1] not in "sl":
                word = word[:-1]
            break
    return word[:-1] if len(word) > 3 and word.endswith("e") else word


def synonym(stemmed: str) -> str:
    """Return the stem that stands for the group `stemmed` is in."""
    return _groups().get(stemmed, stemmed)


@functools.lru_cache(maxsize=1)
def _groups() -> dict[str, str]:
    return {stem(word): stem(group.split()[0]) for group in GROUPS for word in group.split()}


@functools.lru_cache(maxsize=1)
def _generic() -> frozenset[str]:
    return frozenset(synonym(stem(word)) for word in GENERIC)


@functools.lru_cache(maxsize=1)
def _phrases() -> list[tuple[re.Pattern[str], str]]:
    return [(re.compile(rf"\b(?:{form})", re.IGNORECASE), f" {word} ") for form, word in PHRASES]


def content_terms(text: str) -> frozenset[str]:
    """Return what `text` is about: stems that stand for their groups, stop words left out."""
    for form, word in _phrases():
        text = form.sub(word, text)
    words = (word for word in WORD.findall(text) if word.lower() not in STOP)
    return frozenset(synonym(stem(word)) for word in words)


def weight(terms: frozenset[str]) -> float:
    """Return how much `terms` say: 1 for each, less for words that go with anything."""
    return sum(GENERIC_WEIGHT if term in _generic() else 1.0 for term in terms)
