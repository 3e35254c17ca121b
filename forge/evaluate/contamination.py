"""How much of an evaluation's text the training corpus holds: a model may remember what it seems to have understood.

A text is contaminated when it shares a run of 13 words with a document that was trained on, cases and punctuation
aside (Brown et al. 2020, arXiv:2005.14165, appendix C). Of a shorter text the run is the whole of it; one below 5 words
says nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from forge.data.shingles import runs
from forge.data.word_codes import Uint64, word_codes

LONGEST_RUN_WORDS = 13
SHORTEST_RUN_WORDS = 5

Held = dict[int, npt.NDArray[np.intp]]
"""By width, the places in `Wanted.runs` of the runs that some documents hold."""


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


class Wanted:
    """The runs of words of sets of texts: what is held in memory, whatever the size of the training corpus."""

    def __init__(self, sets: Mapping[str, Sequence[str]]) -> None:
        """Args: `sets`, texts by the name of their set."""
        by_width: defaultdict[int, list[Uint64]] = defaultdict(list)
        self._own: dict[str, list[tuple[int, Uint64]]] = {}
        for name, texts in sets.items():
            own = self._own[name] = [_runs_of(words.codes) for words in word_codes(texts)]
            for width, hashes in own:
                by_width[width].append(hashes)
        self.runs = {width: np.unique(np.concatenate(each)) for width, each in by_width.items()}
        """By width, sorted."""
        self._found = {width: np.zeros(len(each), np.bool_) for width, each in self.runs.items()}

    def note(self, held: Held) -> None:
        """Note what `held_runs` found in some documents."""
        for width, places in held.items():
            self._found[width][places] = True

    def overlaps(self) -> dict[str, list[Overlap]]:
        """Return what was noted of each text of each set, in their order."""
        return {
            name: [
                Overlap(len(hashes), int(self._found[width][_places(self.runs[width], hashes)[0]].sum()))
                for width, hashes in own
            ]
            for name, own in self._own.items()
        }


def held_runs(wanted: Mapping[int, Uint64], documents: Iterable[str]) -> Held:
    """Return the places of the runs in `wanted`, sorted and by width, that some of `documents` holds."""
    held: defaultdict[int, list[npt.NDArray[np.intp]]] = defaultdict(list)
    for words in word_codes(list(documents)):
        for width, some in wanted.items():
            if len(some) and len(words) >= width:
                places, is_held = _places(some, runs(words.codes, width))
                held[width].append(places[is_held])
    return {width: np.unique(np.concatenate(each)) for width, each in held.items()}


def _runs_of(codes: Uint64) -> tuple[int, Uint64]:
    """Return the width of the runs of a text, and which they are; none of one that is too short to tell."""
    width = min(len(codes), LONGEST_RUN_WORDS)
    return width, np.unique(runs(codes, width)) if width >= SHORTEST_RUN_WORDS else np.empty(0, np.uint64)


def _places(wanted: Uint64, hashes: Uint64) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Return where in `wanted`, sorted, each of `hashes` is or would be, and whether it is."""
    if not len(wanted):
        return np.empty(0, np.intp), np.empty(0, np.bool_)
    places = np.searchsorted(wanted, hashes)
    places[places == len(wanted)] = 0
    return places, wanted[places] == hashes


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
