"""Which sets a few are similar to, of all: their elements are looked up in an index of all, and no other set is read.

What a few new sets cost grows with them and with what is like them, and not with the sets there are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from forge.data.components import Components
from forge.data.digests import Digests
from forge.data.elements import HASH, Elements, Hits
from forge.data.overlaps import verified
from forge.data.postings import BLOCK_SETS
from forge.data.prefixes import MOST_COUNTED, SLACK, prefix_lengths
from forge.data.sets import Ints, Sets, chunks, stable_order, within
from forge.data.similarity import Pairs, rounds


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
    is_chosen = np.zeros(len(sets), np.bool_)
    is_chosen[chosen] = True
    numbers = np.arange(len(sets))
    for start, end in chunks(sets.counts[chosen]):
        keys = _candidates(sets, chosen[start:end], is_chosen, threshold, index, digests)
        for first in range(start, end, BLOCK_SETS):
            own = chosen[first : min(first + BLOCK_SETS, end)]
            some = keys[slice(*np.searchsorted(keys, [own[0] * len(sets), (own[-1] + 1) * len(sets)]))]
            for few, done in rounds(some, numbers, together):
                found, jaccards = verified(sets, few, threshold)
                ones, others = np.divmod(found, len(sets))
                yield Pairs(ones, others, jaccards, len(own) if done else 0)


def _candidates(
    sets: Sets,
    probes: Ints,
    is_chosen: npt.NDArray[np.bool_],
    threshold: float,
    index: Elements,
    digests: Digests,
) -> Ints:
    """Return the distinct keys `probe * n + other`, sorted, that no filter rules out.

    Of two chosen sets the later one is the probe. Any order of a probe's elements will do: another set has one of the
    first among all of its own. Here the rarest come first, as the index has them.
    """
    sizes = sets.counts[probes]
    elements, names = np.unique(sets.gather(probes) * HASH, return_inverse=True)
    hits = index.find(elements, digests)
    met = np.zeros(len(elements), np.int64)
    for one in hits:
        met += one.ends - one.begins
    owners = np.repeat(np.arange(len(probes)), sizes)
    order = stable_order(owners << 16 | np.minimum(met[names], MOST_COUNTED))
    # What is met once is met in the probe itself.
    first = (within(sizes) < prefix_lengths(sizes, threshold)[owners]) & (met[names[order]] > 1)
    names, own = names[order[first]], probes[owners[first]]
    listed = [part for one in hits for part in _listed(sets, one, names, own, is_chosen, threshold)]
    keys, shared = _summed(listed)
    probe, other = np.divmod(keys, len(sets))
    # All that is shared of the first elements is known: the others bound what more can be.
    rest = sets.counts[probe] - prefix_lengths(sets.counts[probe], threshold)
    return keys[shared + rest >= _needed(sets, probe, other, threshold)]


def _listed(
    sets: Sets,
    hits: Hits,
    names: Ints,
    own: Ints,
    is_chosen: npt.NDArray[np.bool_],
    threshold: float,
) -> Iterator[tuple[Ints, Ints]]:
    """Yield distinct keys of what one segment has of first elements, and how many of them each shares.

    Args:
        names: of the elements, in `hits`.
        own: the probe that each is of.
    """
    begins, lengths = hits.begins[names], (hits.ends - hits.begins)[names]
    for start, end in chunks(lengths):
        some = lengths[start:end]
        rows = np.repeat(np.arange(start, end), some)
        probe, other = own[rows], hits.owners(begins[rows] + within(some))
        needed = _needed(sets, probe, other, threshold)
        good = (other >= 0) & (sets.counts[probe] >= needed) & (sets.counts[other] >= needed)
        good &= ~is_chosen[other] | (other < probe)
        yield np.unique(probe[good] * len(sets) + other[good], return_counts=True)


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
