"""Which sets a few are similar to, of all: their elements are looked up in an index of all, and no other set is read.

What a few new sets cost grows with them and with what is like them, and not with the sets there are.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from forge.data.components import Components
from forge.data.digests import Digests
from forge.data.element_file import HASH
from forge.data.elements import Elements, Hits
from forge.data.overlaps import verified
from forge.data.parities import most_shared
from forge.data.postings import BLOCK_SETS, CROWD, OFTEN
from forge.data.prefixes import MOST_COUNTED, SLACK, prefix_lengths, sizes_alike
from forge.data.sets import Ints, Sets, chunks, distinct, ranges, stable_order, within
from forge.data.similarity import Pairs, rounds

BOUNDED_PAIRS = 1 << 16
"""Whose parities are looked at at once: 64 bytes for each set."""


def similar_pairs_with(
    sets: Sets,
    chosen: Ints,
    threshold: float,
    index: Elements,
    digests: Digests,
    together: Components | None = None,
) -> Iterator[Pairs]:
    """Yield the pairs that `similar_pairs` would, of which at least one set is chosen, each pair once.

    Args:
        sets: all sets.
        chosen: places, ascending; none of an empty set.
        threshold: Jaccard.
        index: has all of `sets`, and perhaps others.
        digests: of `sets`, all different.
        together: as `similar_pairs` has it.
    """
    numbers = np.arange(len(sets))
    for start, end in chunks(sets.counts[chosen]):
        probes = chosen[start:end]
        firsts = _Firsts(sets, probes, chosen, threshold, index, digests)
        if together is not None and firsts.are_crowded():
            # Most hang together with one of the first few that share an element, and are then passed over.
            yield from _compared(sets, 0, firsts.some(CROWD), numbers, together, threshold)
        keys = firsts.candidates(together)
        yield from _compared(sets, len(probes), keys, numbers, together, threshold)


def _compared(
    sets: Sets,
    probes: int,
    keys: Ints,
    numbers: Ints,
    together: Components | None,
    threshold: float,
) -> Iterator[Pairs]:
    """Yield those of sorted candidate keys that are similar; at the end all probes are done."""
    for some, _ in rounds(keys, numbers, together):
        for few in _by_probe(some, len(sets)):
            found, jaccards = verified(sets, few, threshold)
            ones, others = np.divmod(found, len(sets))
            yield Pairs(ones, others, jaccards, 0)
    none = np.empty(0, np.int64)
    yield Pairs(none, none, np.empty(0), probes)


def _by_probe(keys: Ints, count: int) -> Iterator[Ints]:
    """Yield sorted keys `probe * count + other` in pieces of BLOCK_SETS probes."""
    ones = keys // count
    begins = np.flatnonzero(np.r_[True, ones[1:] != ones[:-1]][: len(ones)])[::BLOCK_SETS].tolist()
    for begin, end in itertools.pairwise([*begins, len(keys)]):
        yield keys[begin:end]


class _Firsts:
    """The first elements of some probes, and where other sets have them.

    Any order of a probe's elements will do: a set that is like it has one of the first among all of its own. Here the
    rarest come first, as the index has them.
    """

    def __init__(
        self, sets: Sets, probes: Ints, chosen: Ints, threshold: float, index: Elements, digests: Digests
    ) -> None:
        self._sets, self._threshold = sets, threshold
        self._is_chosen = np.zeros(len(sets), np.bool_)
        self._is_chosen[chosen] = True
        sizes = sets.counts[probes]
        elements, names = np.unique(sets.gather(probes) * HASH, return_inverse=True)
        self._hits = index.find(elements, digests)
        self._parities = index.parities(digests)
        self._met = np.zeros(len(elements), np.int64)
        for one in self._hits:
            self._met += one.ends - one.begins
        owners = np.repeat(np.arange(len(probes)), sizes)
        order = stable_order(owners << 16 | np.minimum(self._met[names], MOST_COUNTED))
        # What is met once is met in the probe itself.
        first = (within(sizes) < prefix_lengths(sizes, threshold)[owners]) & (self._met[names[order]] > 1)
        by_name = stable_order(names[order[first]])
        self._names: Ints = names[order[first]][by_name]
        """Of the first elements, ascending."""
        self._probes: Ints = probes[owners[first]][by_name]
        """Whose they are."""
        self._least, self._most = sizes_alike(sets.counts[self._probes], threshold)

    def are_crowded(self) -> bool:
        """Return whether the elements are on average in so many sets that not all are to be listed."""
        return int(self._met[self._names].sum()) > CROWD * len(self._names)

    def some(self, most: int) -> Ints:
        """Return sorted keys `probe * n + other` of at most so many sets of a segment for each element."""
        found = [np.empty(0, np.int64)]
        for one in self._hits:
            found += (keys for keys, _ in self._listed(one, most=most))
        return self._bounded(distinct(np.concatenate(found)))

    def candidates(self, together: Components | None) -> Ints:
        """Return the distinct keys `probe * n + other`, sorted, that no filter rules out.

        Of two chosen sets the later one is the probe. Sets that hang together already are left out.
        """
        keys, shared = _summed(
            [
                part
                for one in self._hits
                for part in (self._listed(one) if together is None else self._apart(one, together))
            ]
        )
        probe, other = np.divmod(keys, len(self._sets))
        # All that is shared of the first elements is known: the others bound what more can be.
        sizes = self._sets.counts[probe]
        rest = sizes - prefix_lengths(sizes, self._threshold)
        return self._bounded(keys[shared + rest >= _needed(self._sets, probe, other, self._threshold)])

    def _bounded(self, keys: Ints) -> Ints:
        """Return those keys of sets that may share as many elements as they must, by their parities."""
        kept = [np.empty(0, np.int64)]
        for first in range(0, len(keys), BOUNDED_PAIRS):
            some = keys[first : first + BOUNDED_PAIRS]
            probe, other = np.divmod(some, len(self._sets))
            sizes = self._sets.counts[probe] + self._sets.counts[other]
            most = most_shared(self._parities(probe), self._parities(other), sizes)
            kept.append(some[most >= _needed(self._sets, probe, other, self._threshold)])
        return np.concatenate(kept)

    def _listed(
        self, hits: Hits, together: Components | None = None, most: int | None = None
    ) -> Iterator[tuple[Ints, Ints]]:
        """Yield distinct keys of what one segment has, and how many first elements each shares.

        Args:
            hits: of the segment.
            together: what hangs together with its probe is left out.
            most: sets of an element that are looked at.
        """
        begins, lengths = hits.begins[self._names], (hits.ends - hits.begins)[self._names]
        if most is not None:
            lengths = np.minimum(lengths, most)
        sizes = self._sizes_in(hits)
        for start, end in chunks(lengths):
            some = lengths[start:end]
            numbers = hits.numbers(ranges(begins[start:end], some))
            rows, size = np.repeat(np.arange(start, end), some), sizes[numbers]
            kept = np.flatnonzero((size >= self._least[rows]) & (size <= self._most[rows]))
            probe, other = self._probes[rows[kept]], hits.places[numbers[kept]]
            if together is not None:
                apart = together.apart(probe, other)
                probe, other = probe[apart], other[apart]
            yield self._kept(probe, other)

    def _sizes_in(self, hits: Hits) -> Ints:
        """Return the sizes of the sets of a segment; 0 of one that is not looked for."""
        sizes = self._sets.counts[hits.places]
        sizes[hits.places < 0] = 0
        return sizes

    def _apart(self, hits: Hits, together: Components) -> Iterator[tuple[Ints, Ints]]:
        """Yield what `_listed` does, without what hangs together with its probe.

        The sets that have an element are put in order of what they hang together with, once for all probes that have
        the element, too: of thousands made of one form none is then looked at for each.
        """
        count = len(self._sets)
        names, firsts = np.unique(self._names, return_index=True)
        firsts = np.append(firsts, len(self._names))
        begins, lengths = hits.begins[names], (hits.ends - hits.begins)[names]
        if int((lengths * np.diff(firsts)).sum()) <= OFTEN * int(lengths.sum()):
            yield from self._listed(hits, together)
            return
        for start, end in chunks(lengths):
            some = lengths[start:end]
            places = hits.places[hits.numbers(ranges(begins[start:end], some))]
            which = np.repeat(np.arange(start, end), some)[places >= 0]
            places = places[places >= 0]
            keys = which * count + together.roots(places)
            order = np.argsort(keys)
            keys, places = keys[order], places[order]
            rows = slice(firsts[start], firsts[end])
            probes, least, most = self._probes[rows], self._least[rows], self._most[rows]
            own = np.repeat(np.arange(start, end), np.diff(firsts[start : end + 1])) * count
            same = own + together.roots(probes)
            for one, other in ((own, same), (same + 1, own + count)):
                first, last = np.searchsorted(keys, one), np.searchsorted(keys, other)
                for begin, stop in chunks(last - first):
                    few = (last - first)[begin:stop]
                    found = places[ranges(first[begin:stop], few)]
                    sizes = self._sets.counts[found]
                    good = sizes >= np.repeat(least[begin:stop], few)
                    good &= sizes <= np.repeat(most[begin:stop], few)
                    yield self._kept(np.repeat(probes[begin:stop], few)[good], found[good])

    def _kept(self, probe: Ints, other: Ints) -> tuple[Ints, Ints]:
        """Return the distinct keys of pairs, and how often each is there; of two chosen sets the later is the probe."""
        good = ~self._is_chosen[other] | (other < probe)
        return np.unique(probe[good] * len(self._sets) + other[good], return_counts=True)


def _needed(sets: Sets, probe: Ints, other: Ints, threshold: float) -> npt.NDArray[np.float64]:
    """Return how many elements pairs of sets must share at least."""
    needed = threshold / (1 + threshold) * (sets.counts[probe] + sets.counts[other]) - SLACK
    return np.asarray(needed)


def _summed(parts: list[tuple[Ints, Ints]]) -> tuple[Ints, Ints]:
    """Return distinct keys, sorted, and the sums of their counts."""
    none = np.empty(0, np.int64)
    keys = np.concatenate([none, *(part for part, _ in parts)])
    counts = np.concatenate([none, *(part for _, part in parts)])
    order = np.argsort(keys)
    keys, counts = keys[order], counts[order]
    begins = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]][: len(keys)])
    return keys[begins], np.add.reduceat(counts, begins) if len(begins) else none
