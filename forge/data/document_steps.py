"""The steps of curation that look at one document at a time."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Any

from forge.data.audit.stale import stale_signals
from forge.data.decontamination import contaminated, evaluation_shingles
from forge.data.draft import Change, Draft, Finding
from forge.data.language import other_language
from forge.data.quality import findings
from forge.data.redaction import redact, redact_kinds
from forge.data.repair import repair
from forge.data.statements import read_stated
from forge.data.versions import is_talk
from forge.data.word_codes import Uint64, word_codes

Step = Callable[[list[Draft], dict[str, Any]], Iterator[Finding | None]]
"""(documents, parameters) -> for each why it is set aside, or None. A step may change a document's text."""


DAYS_A_YEAR = 365.25


def fill_words(drafts: Sequence[Draft]) -> None:
    """Find the words of all documents at once: a fraction of the cost of one at a time."""
    wanted = [draft for draft in drafts if "words" not in draft.__dict__]
    for draft, words in zip(wanted, word_codes([draft.text for draft in wanted]), strict=True):
        draft.__dict__["words"] = words


def _repair(drafts: list[Draft], parameters: dict[str, Any]) -> Iterator[Finding | None]:
    for draft in drafts:
        text = repair(draft.text)
        if text != draft.text:
            mended = abs(len(text) - len(draft.text))
            draft.rewrite(text, Change("repair", f"{mended} characters more or fewer", float(mended)))
        yield None


def _quality(drafts: list[Draft], parameters: dict[str, Any]) -> Iterator[Finding | None]:
    fill_words(drafts)
    yield from findings([draft.text for draft in drafts], [draft.words for draft in drafts], parameters)


def _languages(drafts: list[Draft], parameters: dict[str, Any]) -> Iterator[Finding | None]:
    for draft in drafts:
        yield other_language(draft.text, parameters)


def _age(drafts: list[Draft], parameters: dict[str, Any]) -> Iterator[Finding | None]:
    oldest, half_life_years = parameters["not_before"], parameters["age_half_life_years"]
    for draft in drafts:
        # ISO 8601 dates compare as text. A document without a date stays.
        if oldest and draft.date and draft.date[: len(oldest)] < oldest:
            detail = f"last changed {draft.date}, not_before is {oldest}"
            yield Finding("too old", detail, float(draft.date[:4]))
        else:
            yield None if half_life_years is None else _thinned(draft, half_life_years, parameters["age_on"])


def _thinned(draft: Draft, half_life_years: float, age_on: str) -> Finding | None:
    """Return why a document is not among those of its age that are kept; which ones are hangs on nothing else."""
    if not draft.date:
        return None
    changed = date.fromisoformat(draft.date[: len("2024-01-05")])
    years = (date.fromisoformat(age_on) - changed).days / DAYS_A_YEAR
    weight: float = 0.5 ** (max(0.0, years) / half_life_years)
    # Not the id itself: rows are in its order, and `cap` keeps the first.
    digest = hashlib.blake2b(draft.document_id.encode(), digest_size=8, person=b"age").digest()
    if int.from_bytes(digest) < weight * 2**64:
        return None
    return Finding("thinned by age", f"last changed {draft.date}: {weight:.2%} of its age are kept", weight)


def _stale(drafts: list[Draft], parameters: dict[str, Any]) -> Iterator[Finding | None]:
    day = date.fromisoformat(parameters["stale_on"]) if parameters["stale_on"] else date.min
    for draft in drafts:
        yield None if is_talk(draft.mime) else _over(draft, day)


def _over(draft: Draft, day: date) -> Finding | None:
    """Return what a document says of itself that makes it stale on a day, as the audit finds it."""
    for signal in stale_signals(draft.text, draft.title, read_stated(draft.text), day):
        return Finding(signal.reason, signal.passage, float((day - signal.day).days) if signal.day else 1.0)
    return None


def _redact(drafts: list[Draft], parameters: dict[str, Any]) -> Iterator[Finding | None]:
    kinds = redact_kinds(parameters)
    for draft in drafts:
        text, counts = redact(draft.text, kinds, parameters["redact_salt"])
        if counts:
            detail = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
            draft.rewrite(text, Change("redact", detail, float(sum(counts.values()))))
        yield None


def _decontaminate(drafts: list[Draft], parameters: dict[str, Any]) -> Iterator[Finding | None]:
    runs = _evaluation(tuple(parameters["evaluation_files"]), parameters["decontaminate_words"])
    fill_words(drafts)
    for draft in drafts:
        yield contaminated(draft, runs, parameters)


@functools.lru_cache(maxsize=1)
def _evaluation(paths: tuple[str, ...], words: int) -> Uint64:
    return evaluation_shingles(list(paths), words)


DOCUMENT_STEPS: dict[str, Step] = {
    "repair": _repair,
    "quality": _quality,
    "languages": _languages,
    "age": _age,
    "stale": _stale,
    "redact": _redact,
    "decontaminate": _decontaminate,
}
