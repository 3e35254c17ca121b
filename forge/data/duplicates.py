"""Which documents say again what another one says: exactly, nearly, or enough to count as one family."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from forge.data.digests import same_hashes
from forge.data.joins import Joins
from forge.data.kindred import kindred_pairs
from forge.data.sets import Sets as StoredSets
from forge.data.sets import set_digest
from forge.data.similarity import similar_pairs
from forge.progress import Progress

Ints = npt.NDArray[np.int64]
Sets = Sequence[npt.NDArray[np.uint64]]


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Documents that others stand for, in order. Numbers are places in the list that was given."""

    removed: Ints
    kept: Ints
    """The one that stands for each: the most preferred of all that hang together."""
    closest: Ints
    """The document most like each, itself kept or not."""
    jaccards: npt.NDArray[np.float64]
    """With `closest`; 1.0 for an exact duplicate."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two documents that are alike, the first the one with the smaller number."""

    first: int
    second: int
    jaccard: float


def levelled(texts: Sequence[str]) -> list[bytes]:
    """Return of each text what exact duplicates share: the hash of it with case and white space levelled."""
    plain = [place for place, text in enumerate(texts) if text.isascii()]
    found: list[bytes] = [b""] * len(texts)
    for place, content in zip(plain, _levelled_ascii([texts[place] for place in plain]), strict=True):
        found[place] = _hash(content)
    for place, text in enumerate(texts):
        if not found[place]:
            found[place] = _hash(" ".join(text.casefold().split()).encode())
    return found


def _hash(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=32).digest()


LEVELS = bytes.maketrans(
    bytes(range(ord("A"), ord("Z") + 1)) + b"\t\n\v\f\r\x1c\x1d\x1e\x1f",
    bytes(range(ord("a"), ord("z") + 1)) + b" " * 9,
)
"""ASCII characters in lower case, and a space for those that `str.split` splits at."""


def _levelled_ascii(texts: Sequence[str]) -> Iterator[bytes]:
    """Yield each of some ASCII texts in lower case, with one space between words: all at once in NumPy."""
    joined = "\n".join(texts).encode().translate(LEVELS)
    characters = np.frombuffer(joined, np.uint8)
    space = characters == ord(" ")
    kept = np.ones(len(characters), np.bool_)
    np.logical_and(space[1:], space[:-1], out=kept[1:])
    np.logical_not(kept[1:], out=kept[1:])
    content = characters[kept].tobytes()
    # Where texts end, a run of white space goes over the border: each is stripped of its part.
    begin = start = 0
    for text in texts:
        end = start + len(text)
        stop = begin + int(np.count_nonzero(kept[start:end]))
        yield content[begin:stop].strip(b" ")
        begin, start = stop + int(kept[end]) if end < len(kept) else stop, end + 1


def exact_duplicates(codes: Ints, preference: Ints) -> Duplicates:
    """Return all but the most preferred (lowest `preference`) of the documents that share a code, from 0 on."""
    kept = _preferred(codes, preference)[codes]
    removed = np.flatnonzero(kept != np.arange(len(codes)))
    return Duplicates(removed, kept[removed], kept[removed], np.ones(len(removed)))


def _preferred(names: Ints, preference: Ints) -> Ints:
    """Return by name the most preferred of the documents that have it."""
    order = np.argsort(preference, kind="stable")[::-1]
    found = np.empty(int(names.max(initial=-1)) + 1, np.int64)
    found[names[order]] = order
    return found


def near_duplicates(
    sets: Sets, preference: Ints, threshold: float, progress: Progress, joins: Joins
) -> Duplicates:
    """Return all but the most preferred of each group of documents that hang together.

    Two documents hang together when the Jaccard of their shingle sets is at least `threshold`, or through others. Every
    such pair is found; nothing is estimated.
    """
    alike = _alike(sets)
    distinct = alike.some(sets)
    # What only the caller had is gone while they are joined.
    del sets
    joined = joins.join("near_duplicates", distinct, alike.digests, threshold, progress)
    names = joined.components[alike.numbers]
    keepers = _preferred(names, preference)[names]
    removed = np.flatnonzero(keepers != np.arange(len(names)))
    number, keeper = alike.numbers[removed], keepers[removed]
    # Where another document has the very same shingles, it is that one: the kept one, where it is among them.
    same = np.bincount(alike.numbers, minlength=len(alike.firsts))[number] > 1
    first = alike.firsts[number]
    other = np.where(first == removed, alike.second_of(number), first)
    with_keeper = alike.numbers[keeper] == number
    closest = np.where(same, np.where(with_keeper, keeper, other), alike.firsts[joined.closest[number]])
    jaccards = np.where(same, 1.0, joined.jaccards[number])
    return Duplicates(removed, keeper, closest, jaccards)


def families(sets: Sets, threshold: float, progress: Progress, joins: Joins) -> Ints:
    """Return for each document the first document of its family: all that hang together at `threshold`."""
    alike = _alike(sets)
    distinct = alike.some(sets)
    del sets
    joined = joins.join("families", distinct, alike.digests, threshold, progress, closest_wanted=False)
    # Distinct sets are in the order of their first documents, and a component bears the name of its first set.
    heads: Ints = alike.firsts[joined.components[alike.numbers]]
    return heads


Wanted = Callable[[Ints, Ints, npt.NDArray[np.float64]], npt.NDArray[np.bool_]]
"""(places, places, Jaccards) of pairs -> which of them to keep."""


def related_pairs(sets: Sets, threshold: float, wanted: Wanted, progress: Progress) -> list[Pair]:
    """Return the wanted pairs with a Jaccard of at least `threshold`, in order.

    Thousands of documents made of one form are millions of pairs: they are asked about a block at a time.

    Of documents with the very same shingles each is paired with the first of them, and that one with the others.
    """
    alike = _alike(sets)
    distinct, first_alike = alike.firsts, alike.firsts[alike.numbers]
    found = [Pair(first, place, 1.0) for place, first in enumerate(first_alike.tolist()) if first != place]
    progress.start(len(distinct), "documents")
    for pairs in similar_pairs(alike.some(sets), threshold):
        ones, others = distinct[pairs.first], distinct[pairs.second]
        kept = wanted(ones, others, pairs.jaccard)
        ends = zip(ones[kept].tolist(), others[kept].tolist(), pairs.jaccard[kept].tolist(), strict=True)
        found += [Pair(min(one, two), max(one, two), jaccard) for one, two, jaccard in ends]
        progress.advance(pairs.probed)
    return sorted(found, key=lambda pair: (pair.first, pair.second))


def related_by_name(sets: StoredSets, codes: Sequence[Ints], threshold: float) -> list[Pair]:
    """Return what `related_pairs` does of pairs that share a code (`versions.Kinship`): without a join of all sets."""
    alike = _alike(sets)
    distinct, first_alike = alike.firsts, alike.firsts[alike.numbers]
    found = [Pair(first, place, 1.0) for place, first in enumerate(first_alike.tolist()) if first != place]
    own = [column[distinct] for column in codes]
    found += [
        Pair(int(distinct[one]), int(distinct[other]), jaccard)
        for one, other, jaccard in kindred_pairs(sets.take(distinct), own, threshold)
    ]
    return sorted(found, key=lambda pair: (pair.first, pair.second))


@dataclass(frozen=True, slots=True)
class _Alike:
    """Which documents have the very same set.

    Thousands of copies of one form, alike but for case and punctuation, then cost one set and not millions of pairs.
    """

    numbers: Ints
    """Of each document's set among the distinct ones."""
    firsts: Ints
    """The first document of each distinct set."""
    digests: npt.NDArray[np.uint64]
    """(n, 2), of each distinct set."""

    def second_of(self, numbers: Ints) -> Ints:
        """Return the second document of each of some distinct sets; the first where there is only one."""
        seconds = self.firsts.copy()
        later = np.flatnonzero(self.firsts[self.numbers] != np.arange(len(self.numbers)))[::-1]
        seconds[self.numbers[later]] = later
        return seconds[numbers]

    def some(self, sets: Sets) -> Sets:
        """Return the distinct ones of `sets`."""
        if isinstance(sets, StoredSets):
            return StoredSets(sets.flat, sets.starts[self.firsts], sets.counts[self.firsts])
        return [sets[place] for place in self.firsts]


def _alike(sets: Sets) -> _Alike:
    stored = sets if isinstance(sets, StoredSets) else None
    if stored is not None and stored.digests is not None:
        digests = stored.digests.copy()
    else:
        digests = np.frombuffer(bytearray().join(map(set_digest, sets)), np.uint64).reshape(-1, 2)
    # A text without a word is like no other.
    sizes = np.fromiter(map(len, sets), np.int64, len(sets)) if stored is None else stored.counts
    empty = np.flatnonzero(sizes == 0)
    digests[empty, 0], digests[empty, 1] = 0, empty
    numbers, firsts = same_hashes(digests)
    return _Alike(numbers, firsts, digests[firsts])
