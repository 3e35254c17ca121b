"""All pairs of sets with a Jaccard of at least t, exactly: a prefix-filter join in NumPy, in bounded memory.

Bayardo, Ma, Srikant, "Scaling up all pairs similarity search" (WWW 2007), with the length, prefix and position filters
of Xiao et al., "Efficient similarity joins for near duplicate detection" (WWW 2008). Elements are ordered rarest first;
two sets that overlap enough share one of their first few elements. Each candidate is then counted exactly.

How rare an element is comes from a table of counters that elements are hashed into: elements that share a counter seem
more frequent than they are, which costs time and never a pair. The first elements of all sets are joined a part of the
elements at a time; parts wait in files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from forge.data.components import Components
from forge.data.sets import Ints, Sets, within
from forge.data.word_codes import Uint64

BLOCK_SETS = 64
"""Sets probed at once: one bit each of a 64-bit word."""
BLOCK_ELEMENTS = 1_000_000
"""Most candidates, or elements of candidates, held at once (8 bytes each, a few arrays)."""
PART_POSTINGS = 8_000_000
"""Most first elements joined at once (16 bytes each, and as much again several times to sort them)."""
COUNTER_BITS = (12, 25)
"""Least and most: 2^25 counters are 128 MB."""
MOST_COUNTED = 65_535
CROWD = 16
"""Sets that have an element, on average over the first elements of some probes, from which on they are too many."""
MOST_STEPS = 24
MARK_BITS = 20
"""Most: the tables of a block stay in the processor's cache."""
SPARSE_BITS = 3
"""A block's table has eight to sixteen cells an element."""
SLACK = 1e-9
"""Bounds are loosened by it, so that floating point never filters out a pair that the final, exact test takes."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of set numbers and their Jaccards, arrays of one length."""

    first: Ints
    second: Ints
    jaccard: npt.NDArray[np.float64]
    probed: int
    """Sets that are done with this block, for progress."""


def similar_pairs(
    sets: Sequence[Uint64], threshold: float, together: Components | None = None
) -> Iterator[Pairs]:
    """Yield, a block of sets at a time, every pair of `sets` with |a & b| / |a | b| >= `threshold`, each pair once.

    Args:
        sets: sorted distinct elements; an empty set is similar to nothing. `Sets` in a file are read as needed.
        threshold: Jaccard, above 0 and at most 1.
        together: what hangs together so far; the caller joins each pair that is yielded before asking for the next.
            Pairs of sets that hang together already are left out. A set is compared with one other first, then with
            more and more of those it is still apart from: one of thousands alike is compared with one or two of them.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold {threshold} is not above 0 and at most 1")
    store = sets if isinstance(sets, Sets) else Sets.of(sets)
    numbers = np.argsort(store.counts, kind="stable")
    numbers = numbers[store.counts[numbers] > 0]
    if not len(numbers):
        return
    ordered = store.take(numbers)
    with ExitStack() as cleanup:
        parts = _parts(ordered, threshold, cleanup)
        seen = np.empty(0, np.int64)
        for place, part in enumerate(parts):
            postings = _Postings(*part(), ordered.counts, threshold)
            found = [seen]
            for candidates, probed in _blocks(postings, ordered.counts, numbers, together):
                if place:
                    candidates = candidates[~np.isin(candidates, seen, assume_unique=True)]
                for keys, last in _rounds(candidates, numbers, together):
                    keys, jaccards = _verified(ordered, keys, threshold)
                    if len(parts) > 1:
                        found.append(keys)
                    ones, others = np.divmod(keys, len(ordered))
                    done = probed if last and place == len(parts) - 1 else 0
                    yield Pairs(numbers[ones], numbers[others], jaccards, done)
            seen = np.sort(np.concatenate(found))
            ordered.release()


def _blocks(
    postings: _Postings, sizes: Ints, numbers: Ints, together: Components | None
) -> Iterator[tuple[Ints, int]]:
    """Yield candidates, sorted keys of at most BLOCK_SETS different probes, and how many sets are done with them.

    Most sets have no candidate: a block of probes takes as many sets as it needs.
    """
    waiting: list[Ints] = []
    probes = elements = probed = 0
    for first in range(0, len(sizes), BLOCK_SETS):
        last = min(first + BLOCK_SETS, len(sizes))
        crowded = together is not None and postings.crowded(first, last)
        keys = np.empty(0, np.int64) if crowded else postings.candidates(first, last)
        own = np.unique(keys // len(sizes))
        many = probes + len(own) > BLOCK_SETS or elements + int(sizes[own].sum()) > BLOCK_ELEMENTS
        if crowded or many:
            yield np.concatenate([*waiting, np.empty(0, np.int64)]), probed
            waiting, probes, elements, probed = [], 0, 0, 0
        if crowded:
            assert together is not None
            nearest = postings.nearest(first, last)
            yield nearest, 0
            others = postings.apart(first, last, lambda places: together.roots(numbers[places]))
            yield others[~np.isin(others, nearest, assume_unique=True)], last - first
            continue
        waiting.append(keys)
        probes, elements, probed = probes + len(own), elements + int(sizes[own].sum()), probed + last - first
    yield np.concatenate([*waiting, np.empty(0, np.int64)]), probed


def _rounds(keys: Ints, numbers: Ints, together: Components | None) -> Iterator[tuple[Ints, bool]]:
    """Yield sorted candidates a few at a time, and whether these are the last; at least once."""
    if together is None:
        yield keys, True
        return
    most = 1
    while len(keys):
        ones, others = np.divmod(keys, len(numbers))
        still = together.apart(numbers[ones], numbers[others])
        keys, ones = keys[still], ones[still]
        # Of each probe the last ones: they are nearest to it in size.
        chosen = np.searchsorted(ones, ones, side="right") - np.arange(len(ones)) <= most
        yield keys[chosen], False
        keys = keys[~chosen]
        most *= 4
    yield keys, True


def similar_pairs_with(
    sets: Sets, new: npt.NDArray[np.bool_], threshold: float, together: Components | None = None
) -> Iterator[Pairs]:
    """Yield the pairs that `similar_pairs` would, of which at least one set is `new`, each pair once.

    The first elements of the new sets are looked for among all elements of all sets: the others are read twice and
    compared with none of each other. `probed` counts new sets.
    """
    chosen = np.flatnonzero(new & (sets.counts > 0))
    if not len(chosen):
        return
    # New sets first, so that a block of them can be counted out together.
    numbers = np.concatenate([chosen, np.flatnonzero(~new & (sets.counts > 0))])
    ordered = sets.take(numbers)
    keys = np.concatenate([np.empty(0, np.int64), *_candidates_of_first(ordered, len(chosen), threshold)])
    keys.sort()
    for first in range(0, len(chosen), BLOCK_SETS):
        last = min(first + BLOCK_SETS, len(chosen))
        own = slice(*np.searchsorted(keys, [first * len(ordered), last * len(ordered)]))
        for some, done in _rounds(keys[own], numbers, together):
            found, jaccards = _verified(ordered, some, threshold)
            ones, others = np.divmod(found, len(ordered))
            yield Pairs(numbers[ones], numbers[others], jaccards, last - first if done else 0)
        ordered.release()


def _candidates_of_first(ordered: Sets, count: int, threshold: float) -> Iterator[Ints]:
    """Yield the distinct keys `probe * n + other` of the first `count` sets that no filter rules out.

    Of two among the first `count`, the later one is the probe.
    """
    sizes = ordered.counts
    elements, owners, places = _first_elements(ordered, count, threshold)
    order = np.argsort(elements, kind="stable")
    elements, owners, places = elements[order], owners[order], places[order]
    wanted = np.zeros(1 << MARK_BITS, np.bool_)
    wanted[_cells(elements, MARK_BITS)] = True
    for first, last in chunks(sizes):
        flat = ordered.gather(np.arange(first, last))
        hit = np.flatnonzero(wanted[_cells(flat, MARK_BITS)])
        others = np.repeat(np.arange(first, last), sizes[first:last])[hit]
        begins, ends = (np.searchsorted(elements, flat[hit], side=side) for side in ("left", "right"))
        keys = np.empty(0, np.int64)
        for one, end in chunks(ends - begins):
            lengths = (ends - begins)[one:end]
            rows = np.repeat(begins[one:end], lengths) + within(lengths)
            probe, other = owners[rows], np.repeat(others[one:end], lengths)
            # What of the probe comes after the first shared element bounds what they can share.
            needed = threshold / (1 + threshold) * (sizes[probe] + sizes[other]) - SLACK
            good = (sizes[probe] - places[rows] >= needed) & (sizes[other] >= needed)
            good &= (other >= count) | (other < probe)
            keys = np.unique(np.concatenate([keys, probe[good] * len(ordered) + other[good]]))
        yield keys
        ordered.release()


def _first_elements(ordered: Sets, count: int, threshold: float) -> tuple[Uint64, Ints, Ints]:
    """Return the first elements, rarest first, of the first `count` sets, whose they are, and their places."""
    counters, bits = _counters(ordered)
    lengths = _prefix_lengths(ordered.counts, threshold)
    found: list[tuple[Uint64, Ints, Ints]] = []
    for first, last in chunks(ordered.counts[:count]):
        sizes = ordered.counts[first:last]
        elements = ordered.gather(np.arange(first, last))
        owners = np.repeat(np.arange(first, last), sizes)
        counted = np.minimum(counters[_cells(elements, bits)], MOST_COUNTED)
        order = _stable_order((owners - first) << 16 | counted)
        places = within(sizes)
        chosen = places < lengths[owners]
        found.append((elements[order[chosen]], owners[chosen], places[chosen]))
    elements_of, owners_of, places_of = zip(*found, strict=True)
    return np.concatenate(elements_of), np.concatenate(owners_of), np.concatenate(places_of)


class _Part:
    """First elements of sets: (element, set, place of the element in the set's order), sets ascending."""

    def __init__(self, folder: Path | None, number: int) -> None:
        self._path = None if folder is None else folder / str(number)
        self._pieces: list[npt.NDArray[np.uint64]] = []

    def append(self, elements: Uint64, owners: Ints, places: Ints) -> None:
        piece = np.stack([elements, (owners << 32 | places).astype(np.uint64)], axis=1)
        if self._path is None:
            self._pieces.append(piece)
        else:
            with self._path.open("ab") as file:
                file.write(piece.tobytes())

    def __call__(self) -> tuple[Uint64, Ints, Ints]:
        if self._path is not None and self._path.exists():
            self._pieces = [np.fromfile(self._path, np.uint64).reshape(-1, 2)]
            self._path.unlink()
        rows = np.concatenate([*self._pieces, np.empty((0, 2), np.uint64)])
        self._pieces = []
        packed = rows[:, 1].astype(np.int64)
        return rows[:, 0].copy(), packed >> 32, packed & 0xFFFFFFFF


def _parts(ordered: Sets, threshold: float, cleanup: ExitStack) -> list[_Part]:
    """Return the first elements of all sets, rarest first, in parts that are joined one by one."""
    counters, bits = _counters(ordered)
    lengths = _prefix_lengths(ordered.counts, threshold)
    count = max(1, -(-int(lengths.sum()) // PART_POSTINGS))
    folder = None
    if count > 1:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="forge-near-")))
    parts = [_Part(folder, number) for number in range(count)]
    for first, last in chunks(ordered.counts):
        elements = ordered.gather(np.arange(first, last))
        sizes = ordered.counts[first:last]
        owners = np.repeat(np.arange(last - first), sizes)
        counted = np.minimum(counters[_cells(elements, bits)], MOST_COUNTED)
        # An element that was counted once is in no other set: it comes before all others, and never matches.
        shared = np.flatnonzero(counted > 1)
        unique = sizes - np.bincount(owners[shared], minlength=last - first)
        order = _stable_order(owners[shared] << 16 | counted[shared])
        kept = shared[order]
        own = sizes - unique
        places = within(own) + unique[owners[kept]]
        chosen = places < lengths[first:last][owners[kept]]
        kept, places = kept[chosen], places[chosen]
        part_of = _cells(elements[kept], 32) % count
        for number, part in enumerate(parts):
            mine = part_of == number if count > 1 else slice(None)
            part.append(elements[kept][mine], first + owners[kept][mine], places[mine])
        ordered.release()
    return parts


def _counters(sets: Sets) -> tuple[npt.NDArray[np.uint32], int]:
    """Return how often elements are in `sets`, in a table that they are hashed into, and the bits of the hash."""
    bits = min(max(int(sets.counts.sum()).bit_length() + 1, COUNTER_BITS[0]), COUNTER_BITS[1])
    counters = np.zeros(1 << bits, np.uint32)
    for first, last in chunks(sets.counts):
        # Sorted, they go through the table from its begin to its end: several times as fast as here and there.
        cells = np.sort(_cells(sets.gather(np.arange(first, last)), bits))
        begins = np.flatnonzero(np.diff(cells, prepend=-1))
        counters[cells[begins]] += np.diff(begins, append=len(cells)).astype(np.uint32)
    return counters, bits


class _Postings:
    """Which sets have an element among their first, and where."""

    def __init__(self, elements: Uint64, owners: Ints, places: Ints, sizes: Ints, threshold: float) -> None:
        self._sizes, self._threshold = sizes, threshold
        order = np.argsort(elements)
        elements = elements[order]
        new = np.r_[True, elements[1:] != elements[:-1]][: len(elements)]
        runs = np.cumsum(new) - 1
        several = np.bincount(runs, minlength=1)[runs] > 1
        keys = (runs * len(sizes) + owners[order])[several]
        by_key = np.argsort(keys)
        keys, places = keys[by_key], places[order][several][by_key]
        # A set that meets only sets at least as large may be indexed by fewer of its elements.
        owners = keys % len(sizes)
        indexed = places < _prefix_lengths(sizes, 2 * threshold / (1 + threshold))[owners]
        self._keys, self._places = keys[indexed], places[indexed]
        # Where an entry leads: to the one before it in its run, or past some; -1 is before the first.
        begins_run = np.diff(self._keys // len(sizes), prepend=-1) != 0
        self._leads = np.where(begins_run, -1, np.arange(len(self._keys)) - 1)
        by_owner = _stable_order(owners)
        self._probe_keys, self._probe_places = keys[by_owner], places[by_owner]
        self._borders = np.searchsorted(owners[by_owner], np.arange(len(sizes) + 1))
        self._smallest = np.searchsorted(sizes, threshold * sizes - SLACK)

    def candidates(self, first: int, last: int) -> Ints:
        """Return the distinct keys `probe * n + other`, other before probe, that no filter rules out, sorted."""
        probes, places, begins, ends = self._looked_up(first, last)
        return self._listed(probes, places, begins, ends)

    def crowded(self, first: int, last: int) -> bool:
        """Return whether the elements of these probes are on average in so many sets that not all are to be listed."""
        _, _, begins, ends = self._looked_up(first, last)
        return int((ends - begins).sum()) > CROWD * len(begins)

    def nearest(self, first: int, last: int) -> Ints:
        """Return of `candidates` for each element of a probe only the one nearest in size."""
        probes, places, begins, ends = self._looked_up(first, last)
        return self._listed(probes, places, np.maximum(begins, ends - 1), ends)

    def apart(self, first: int, last: int, roots: Callable[[Ints], Ints]) -> Ints:
        """Return those of `candidates` that do not hang together with their probe.

        An entry that hangs together with its neighbours before it leads past all of them, so that thousands of sets
        made of one form are passed in a step. After a few steps the rest is listed.
        """
        probes, places, begins, ends = self._looked_up(first, last)
        self._lead_on(probes, ends, roots)
        at, own = ends - 1, roots(probes)
        walking = np.flatnonzero(at >= begins)
        found = []
        for _ in range(MOST_STEPS):
            if not len(walking):
                break
            hits = at[walking]
            same = roots(self._keys[hits] % len(self._sizes)) == own[walking]
            met, here = walking[~same], hits[~same]
            found.append(self._listed(probes[met], places[met], here, here + 1))
            at[walking] = np.where(same, self._leads[hits], hits - 1)
            walking = walking[at[walking] >= begins[walking]]
        rest = self._listed(probes[walking], places[walking], begins[walking], at[walking] + 1)
        ones, others = np.divmod(rest, len(self._sizes))
        return np.unique(np.concatenate([*found, rest[roots(ones) != roots(others)]]))

    def _lead_on(self, probes: Ints, ends: Ints, roots: Callable[[Ints], Ints]) -> None:
        """Lead from the entries of probes past those before them that hang together with them."""
        if not len(self._keys):
            return
        mine = np.minimum(ends, len(self._keys) - 1)
        is_mine = self._keys[mine] % len(self._sizes) == probes
        mine, own = mine[is_mine], roots(probes[is_mine])
        for _ in range(BLOCK_SETS.bit_length()):
            leads = self._leads[mine]
            same = leads >= 0
            same[same] = roots(self._keys[leads[same]] % len(self._sizes)) == own[same]
            if not same.any():
                break
            self._leads[mine[same]] = self._leads[leads[same]]

    def _looked_up(self, first: int, last: int) -> tuple[Ints, Ints, Ints, Ints]:
        """Return for each first element of some probes: the probe, its place, and the entries of sets before it."""
        count = len(self._sizes)
        own = slice(self._borders[first], self._borders[last])
        keys, places = self._probe_keys[own], self._probe_places[own]
        runs, probes = np.divmod(keys, count)
        begins = np.searchsorted(self._keys, runs * count + self._smallest[probes])
        return probes, places, begins, np.maximum(np.searchsorted(self._keys, keys), begins)

    def _listed(self, probes: Ints, places: Ints, begins: Ints, ends: Ints) -> Ints:
        """Return the distinct keys of entries from `begins` to `ends` that no filter rules out, sorted."""
        sizes, count = self._sizes, len(self._sizes)
        lengths = ends - begins
        found = np.empty(0, np.int64)
        for one, end in chunks(lengths):
            rows = np.repeat(np.arange(one, end), lengths[one:end])
            hits = begins[rows] + within(lengths[one:end])
            probe = probes[rows]
            other = self._keys[hits] % count
            # The rest of either set after this element bounds what they can still share.
            rest = np.minimum(sizes[probe] - places[rows], sizes[other] - self._places[hits])
            needed = self._threshold / (1 + self._threshold) * (sizes[probe] + sizes[other]) - SLACK
            good = rest >= needed
            # Merged at once: near copies share most of their prefix, and would be found anew by each element.
            found = np.unique(np.concatenate([found, probe[good] * count + other[good]]))
        return found


def _verified(ordered: Sets, keys: Ints, threshold: float) -> tuple[Ints, npt.NDArray[np.float64]]:
    """Return which candidate keys, of at most BLOCK_SETS probes, are similar, and their Jaccards."""
    if not len(keys):
        return keys, np.empty(0)
    probes, others = np.divmod(keys, len(ordered))
    distinct, names = np.unique(probes, return_inverse=True)
    overlaps = _Block(ordered, distinct).overlaps(names, others)
    jaccards = overlaps / (ordered.counts[probes] + ordered.counts[others] - overlaps)
    similar = jaccards >= threshold
    return keys[similar], jaccards[similar]


class _Block:
    """A few sets, at most 64, and which of them has an element: a bit each, in a hash table of their elements."""

    def __init__(self, ordered: Sets, block: Ints) -> None:
        self._ordered = ordered
        elements = ordered.gather(block)
        bits = np.repeat(np.uint64(1) << np.arange(len(block), dtype=np.uint64), ordered.counts[block])
        self._bits = min(max(len(elements).bit_length() + SPARSE_BITS, 1), MARK_BITS)
        cells = _cells(elements, self._bits)
        self._names = np.zeros(1 << self._bits, np.uint64)
        self._names[cells] = elements
        self._marks = np.zeros(1 << self._bits, np.uint64)
        # Of several elements that fall on one cell the last has it, and the others are looked up in a sorted list.
        owns = self._names[cells] == elements
        np.bitwise_or.at(self._marks, cells[owns], bits[owns])
        self._crowded, places = np.unique(elements[~owns], return_inverse=True)
        self._crowded_marks = np.zeros(len(self._crowded), np.uint64)
        np.bitwise_or.at(self._crowded_marks, places, bits[~owns])

    def overlaps(self, probes: Ints, others: Ints) -> Ints:
        """Count the elements that each probe, by its number in this block, shares with its other set."""
        distinct, names = np.unique(others, return_inverse=True)
        overlaps = np.zeros(len(probes), np.int64)
        by_other = _stable_order(names)
        borders = np.searchsorted(names[by_other], np.arange(len(distinct) + 1))
        lengths = self._ordered.counts[distinct]
        for one, end in chunks(lengths):
            marks, ends = self._marks_of(distinct[one:end])
            pairs = by_other[borders[one] : borders[end]]
            own = names[pairs] - one
            starts, counts = ends[own], ends[own + 1] - ends[own]
            shifts = probes[pairs].astype(np.uint64)
            for begin, stop in chunks(counts):
                some = counts[begin:stop]
                spread = np.repeat(starts[begin:stop] - np.cumsum(some) + some, some) + np.arange(some.sum())
                shared = (marks[spread] >> np.repeat(shifts[begin:stop], some)) & np.uint64(1)
                sums = np.zeros(len(shared) + 1, np.int64)
                np.cumsum(shared, out=sums[1:])
                stops = np.cumsum(some)
                overlaps[pairs[begin:stop]] = sums[stops] - sums[stops - some]
        return overlaps

    def _marks_of(self, places: Ints) -> tuple[Uint64, Ints]:
        """Return the marks of those elements of sets that have any, set by set, and where each set's end."""
        elements = self._ordered.gather(places)
        cells = _cells(elements, self._bits)
        marks = self._marks[cells]
        hits = np.flatnonzero(marks)
        elements, marks = elements[hits], marks[hits]
        others = np.flatnonzero(self._names[cells[hits]] != elements)
        marks[others] = self._mark_of_crowded(elements[others])
        ends = np.concatenate([[0], np.cumsum(self._ordered.counts[places])])
        return marks, np.searchsorted(hits, ends)

    def _mark_of_crowded(self, elements: Uint64) -> Uint64:
        if not len(self._crowded):
            return np.zeros(len(elements), np.uint64)
        places = np.minimum(np.searchsorted(self._crowded, elements), len(self._crowded) - 1)
        return np.where(self._crowded[places] == elements, self._crowded_marks[places], np.uint64(0))


def _prefix_lengths(sizes: Ints, share: float) -> Ints:
    """Return how many first elements count: a set of n that must share `share` * n has one of those among them."""
    lengths: Ints = sizes - np.ceil(share * sizes - SLACK).astype(np.int64) + 1
    return lengths


def _stable_order(values: Ints) -> Ints:
    """Return what `argsort` does, of values that are not negative: sorting itself is many times as fast."""
    bits = max(len(values) - 1, 1).bit_length()
    if not len(values) or int(values.max()).bit_length() + bits > 63:
        return np.argsort(values, kind="stable")
    return np.sort(values << bits | np.arange(len(values))) & ((1 << bits) - 1)


def _cells(elements: Uint64, bits: int) -> Ints:
    """Return `bits` bits of a hash of each element."""
    return ((elements * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - bits)).astype(np.int64)


def chunks(lengths: Ints) -> Iterator[tuple[int, int]]:
    """Yield ranges of rows whose `lengths` sum to at most BLOCK_ELEMENTS (or of one row)."""
    ends = np.cumsum(lengths)
    one = 0
    while one < len(lengths):
        base = int(ends[one - 1]) if one else 0
        end = max(one + 1, int(np.searchsorted(ends, base + BLOCK_ELEMENTS, side="right")))
        yield one, end
        one = end
