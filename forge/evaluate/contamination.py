"""How much of an evaluation's text the training corpus holds: a model may remember what it seems to have understood.

A text is contaminated when it shares a run of 13 words with a document that was trained on, cases and punctuation
aside (Brown et al. 2020, arXiv:2005.14165, appendix C). Of a shorter text the run is the whole of it; one below 5 words
says nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from forge.data.shingles import runs
from forge.data.word_codes import Uint64, WordCodes, word_codes
from forge.progress import Progress

LONGEST_RUN_WORDS = 13
SHORTEST_RUN_WORDS = 5
BATCH_DOCUMENTS = 256


@dataclass(frozen=True, slots=True)
class Overlap:
    """What the training corpus has of one text."""

    runs: int
    """Different runs of words in it; 0 where it is too short to tell."""
    runs_found: int
    """Of them, those in a training document."""

    @property
    def is_contaminated(self) -> bool:
        """Whether a run of it is in a training document."""
        return self.runs_found > 0


class Runs:
    """The runs of words of some texts: what is held in memory, whatever the size of the training corpus."""

    def __init__(self, texts: Sequence[str]) -> None:
        by_width: defaultdict[int, list[Uint64]] = defaultdict(list)
        self._own: list[tuple[int, Uint64]] = []
        for words in word_codes(texts):
            width = min(len(words), LONGEST_RUN_WORDS)
            own = (
                np.unique(runs(words.codes, width)) if width >= SHORTEST_RUN_WORDS else np.empty(0, np.uint64)
            )
            self._own.append((width, own))
            by_width[width].append(own)
        self._runs = {width: np.unique(np.concatenate(each)) for width, each in by_width.items()}
        self._found = {width: np.zeros(len(each), np.bool_) for width, each in self._runs.items()}

    def look_up(self, words: WordCodes) -> None:
        """Note which runs the words of a training document hold."""
        for width, wanted in self._runs.items():
            if len(wanted) and len(words) >= width:
                places, held = _places(wanted, runs(words.codes, width))
                self._found[width][places[held]] = True

    def overlaps(self) -> list[Overlap]:
        """Return what was found of each text, in their order."""
        found = []
        for width, own in self._own:
            places, _ = _places(self._runs[width], own)
            found.append(Overlap(len(own), int(self._found[width][places].sum())))
        return found


def _places(wanted: Uint64, hashes: Uint64) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Return where in `wanted`, sorted, each of `hashes` is or would be, and whether it is."""
    if not len(wanted):
        return np.empty(0, np.intp), np.empty(0, np.bool_)
    places = np.searchsorted(wanted, hashes)
    places[places == len(wanted)] = 0
    return places, wanted[places] == hashes


def find_overlaps(
    sets: Mapping[str, Sequence[str]], training: Iterable[str], progress: Progress
) -> dict[str, list[Overlap]]:
    """Return for each text of each evaluation set what `training` has of it, in one pass over `training`.

    Args:
        sets: texts by the name of their set.
        training: the documents trained on.
        progress: told of bytes, of a phase that the caller began.
    """
    held = {name: Runs(texts) for name, texts in sets.items()}
    documents = iter(training)
    while some := list(islice(documents, BATCH_DOCUMENTS)):
        for words in word_codes(some):
            for one in held.values():
                one.look_up(words)
        progress.advance(sum(len(text.encode()) for text in some))
    return {name: one.overlaps() for name, one in held.items()}


def summarize(overlaps: Sequence[Overlap]) -> dict[str, Any]:
    """Return the figures of one set, as they stand in evaluation.json."""
    told = [one for one in overlaps if one.runs]
    contaminated = sum(one.is_contaminated for one in told)
    total = sum(one.runs for one in told)
    return {
        "texts": len(overlaps),
        "texts_too_short": len(overlaps) - len(told),
        "texts_contaminated": contaminated,
        "contaminated_fraction": contaminated / len(told) if told else None,
        "runs": total,
        "runs_found_fraction": sum(one.runs_found for one in told) / total if total else None,
    }
