"""Which documents say again what another one says: exactly, nearly, or enough to count as one family."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from forge.data.components import Components
from forge.data.sets import Sets as StoredSets
from forge.data.similarity import similar_pairs
from forge.progress import Progress

Ints = npt.NDArray[np.int64]
Sets = Sequence[npt.NDArray[np.uint64]]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A document that another one stands for. Numbers are places in the list that was given."""

    removed: int
    kept: int
    """The one that stands for it: the most preferred of all that hang together."""
    closest: int
    """The document most like it, itself kept or not."""
    jaccard: float
    """With `closest`; 1.0 for an exact duplicate."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two documents that are alike, the first the one with the smaller number."""

    first: int
    second: int
    jaccard: float


def levelled(text: str) -> bytes:
    """Return what exact duplicates share: the hash of a text with case and white space levelled."""
    return hashlib.sha256(" ".join(text.casefold().split()).encode()).digest()


def exact_duplicates(hashes: Sequence[bytes], preference: Sequence[int]) -> list[Duplicate]:
    """Return all but the most preferred (lowest `preference`) of the documents that share a hash."""
    best: dict[bytes, int] = {}
    for place in sorted(range(len(hashes)), key=preference.__getitem__):
        best.setdefault(hashes[place], place)
    pairs = ((place, best[digest]) for place, digest in enumerate(hashes))
    return [Duplicate(place, kept, kept, 1.0) for place, kept in pairs if place != kept]


def near_duplicates(
    sets: Sets, preference: Sequence[int], threshold: float, progress: Progress
) -> list[Duplicate]:
    """Return all but the most preferred of each group of documents that hang together.

    Two documents hang together when the Jaccard of their shingle sets is at least `threshold`, or through others. Every
    such pair is found; nothing is estimated.
    """
    distinct, first_alike = _distinct(sets)
    components = Components(len(sets))
    components.join(np.arange(len(sets)), first_alike)
    closest = np.arange(len(sets))
    jaccards = np.zeros(len(sets))
    progress.start(len(distinct), "documents")
    for pairs in similar_pairs(_some(sets, distinct), threshold):
        one, two = distinct[pairs.first], distinct[pairs.second]
        components.join(one, two)
        _note_closest(one, two, pairs.jaccard, closest, jaccards)
        _note_closest(two, one, pairs.jaccard, closest, jaccards)
        progress.advance(pairs.probed)

    names = components.names()
    kept: dict[int, int] = {}
    for place in sorted(range(len(sets)), key=preference.__getitem__):
        kept.setdefault(int(names[place]), place)
    alike: dict[int, list[int]] = {}
    for place, head in enumerate(first_alike.tolist()):
        alike.setdefault(head, []).append(place)
    found = []
    for place in range(len(sets)):
        keeper = kept[int(names[place])]
        if place == keeper:
            continue
        head = int(first_alike[place])
        if len(alike[head]) > 1:
            # Another document has the very same shingles: the kept one, where it is among them.
            same = (
                [keeper] if first_alike[keeper] == head else [one for one in alike[head][:2] if one != place]
            )
            found.append(Duplicate(place, keeper, same[0], 1.0))
        else:
            found.append(Duplicate(place, keeper, int(closest[place]), float(jaccards[place])))
    return found


def families(sets: Sets, threshold: float, progress: Progress) -> list[int]:
    """Return for each document the first document of its family: all that hang together at `threshold`."""
    distinct, first_alike = _distinct(sets)
    components = Components(len(sets))
    components.join(np.arange(len(sets)), first_alike)
    progress.start(len(distinct), "documents")
    for pairs in similar_pairs(_some(sets, distinct), threshold):
        components.join(distinct[pairs.first], distinct[pairs.second])
        progress.advance(pairs.probed)
    return [int(name) for name in components.names()]


Wanted = Callable[[Ints, Ints, npt.NDArray[np.float64]], npt.NDArray[np.bool_]]
"""(places, places, Jaccards) of pairs -> which of them to keep."""


def related_pairs(sets: Sets, threshold: float, wanted: Wanted, progress: Progress) -> list[Pair]:
    """Return the wanted pairs with a Jaccard of at least `threshold`, in order.

    Thousands of documents made of one form are millions of pairs: they are asked about a block at a time.

    Of documents with the very same shingles each is paired with the first of them, and that one with the others.
    """
    distinct, first_alike = _distinct(sets)
    found = [Pair(first, place, 1.0) for place, first in enumerate(first_alike.tolist()) if first != place]
    progress.start(len(distinct), "documents")
    for pairs in similar_pairs(_some(sets, distinct), threshold):
        ones, others = distinct[pairs.first], distinct[pairs.second]
        kept = wanted(ones, others, pairs.jaccard)
        ends = zip(ones[kept].tolist(), others[kept].tolist(), pairs.jaccard[kept].tolist(), strict=True)
        found += [Pair(min(one, two), max(one, two), jaccard) for one, two, jaccard in ends]
        progress.advance(pairs.probed)
    return sorted(found, key=lambda pair: (pair.first, pair.second))


def _some(sets: Sets, places: Ints) -> Sets:
    return sets.take(places) if isinstance(sets, StoredSets) else [sets[place] for place in places]


def _distinct(sets: Sets) -> tuple[Ints, Ints]:
    """Return (places of the first of each distinct set, the first place with the same set as each place).

    Thousands of copies of one form, alike but for case and punctuation, then cost one set and not millions of pairs.
    """
    firsts: dict[bytes, int] = {}
    alike = np.empty(len(sets), np.int64)
    for place, one in enumerate(sets):
        # A text without a word is like no other.
        digest = hashlib.sha256(one.tobytes()).digest() if len(one) else place.to_bytes(8, "little")
        alike[place] = firsts.setdefault(digest, place)
    return np.fromiter(firsts.values(), np.int64, len(firsts)), alike


def _note_closest(
    one: Ints, two: Ints, jaccard: npt.NDArray[np.float64], closest: Ints, jaccards: npt.NDArray[np.float64]
) -> None:
    better = jaccard > jaccards[one]
    one, two, jaccard = one[better], two[better], jaccard[better]
    # Of several for one document, the last in this order is the one with the highest Jaccard, then the first place.
    order = np.lexsort((-two, jaccard, one))
    one, two, jaccard = one[order], two[order], jaccard[order]
    last = np.flatnonzero(np.diff(one, append=-1))
    closest[one[last]] = two[last]
    jaccards[one[last]] = jaccard[last]
