"""A similarity join on several processes: each takes shares of the sets, finds their first elements, then probes them
and says what hangs together.

Sets and first elements lie in files; what comes back is at most a few numbers a set, however many pairs there are. The
result is the same for any number of shares: a pair is found by whoever has its probe, and one that is passed over hangs
together by pairs of the same share.
"""

from __future__ import annotations

import functools
import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from forge.data.components import Components
from forge.data.index import build_index, part_file
from forge.data.nearest import Nearest
from forge.data.postings import Postings
from forge.data.prefixes import Counters, Part, fill_parts, part_count, read_counters, write_counters
from forge.data.sets import Ints, Sets
from forge.data.similarity import probe, probing_order
from forge.data.workers import map_in_order, pool_width

SHARES = 4
"""Of the probes, for each process: they end at about the same time, and progress is seen."""


@dataclass(frozen=True, slots=True)
class Fill:
    """A share of the sets, of which a process is to find the first elements."""

    folder: Path
    """Where the sets' places are, and the first elements are to be."""
    flat: Path
    """The elements."""
    counters: Path
    """Where is how often they are there."""
    threshold: float
    parts: int
    share: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Order:
    """What a process is to probe."""

    folder: Path
    """Where the sets' places and the index are."""
    flat: Path
    """The elements."""
    threshold: float
    closest_wanted: bool
    share: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Found:
    """What hangs together in a share of the probes. Numbers are places in the list of sets."""

    edges: Ints
    """(2, n): similar sets, as many as hold all together."""
    ones: Ints
    closest: Ints
    """The set of the share's pairs that is most like each of `ones`."""
    jaccards: npt.NDArray[np.float64]
    probed: int


def join_in_shares(
    store: Sets,
    threshold: float,
    ranks: Ints,
    closest_wanted: bool,
    counters: Counters,
    pool: Executor,
    parent: Path,
) -> Iterator[Found]:
    """Yield what hangs together, and what is closest where that is wanted, in all sets of `store`.

    Args:
        store: sets in a file that all processes see.
        threshold: Jaccard.
        ranks: of the sets, all different: of several that are closest the lowest is meant.
        closest_wanted: without, far fewer sets are compared.
        counters: of the elements.
        pool: where the shares are probed.
        parent: a folder that all processes see, for one of files, which is removed in the end.

    Raises:
        MachineError: a worker was killed.
    """
    flat = store.path
    assert flat is not None
    numbers = probing_order(store)
    ordered = store.take(numbers)
    # Of a name of its own: a process keeps what it read last.
    with tempfile.TemporaryDirectory(prefix="joining-", dir=parent) as place:
        folder = Path(place).resolve()
        np.save(folder / "sets.npy", np.stack([ordered.starts, ordered.counts, ranks[numbers]]))
        counted = (counters if counters.folder is not None else write_counters(counters, folder)).folder
        assert counted is not None
        count = part_count(ordered.counts, threshold)
        shares = SHARES * pool_width(pool)
        sizes = ordered.counts
        # The processes read the rest.
        del ordered, ranks
        ends = np.cumsum(sizes)
        borders = np.searchsorted(ends, np.linspace(0, ends[-1], shares + 1)).tolist()
        del ends
        fills = (
            Fill(folder, flat.resolve(), counted.resolve(), threshold, count, share, begin, end)
            for share, (begin, end) in enumerate(itertools.pairwise([*borders[:-1], len(sizes)]))
        )
        for _ in map_in_order(pool, fill_share, fills, lambda fill: (fill,)):
            pass
        build_index(folder, count, shares, sizes, threshold, functools.partial(_each, pool))
        del sizes
        orders = (
            Order(folder, flat.resolve(), threshold, closest_wanted, (one, shares)) for one in range(shares)
        )
        for _, found in map_in_order(pool, probe_share, orders, lambda order: (order,)):
            yield Found(
                numbers[found.edges],
                numbers[found.ones],
                numbers[found.closest],
                found.jaccards,
                found.probed,
            )


def _each(pool: Executor, work: Callable[[int], Ints], items: Iterable[int]) -> Iterator[Ints]:
    """Do as `map` does, on the processes of a pool."""
    return (made for _, made in map_in_order(pool, work, items, lambda item: (item,)))


def fill_share(fill: Fill) -> None:
    """Find the first elements of a share. In a worker."""
    ordered, _ = _sets(fill.folder, fill.flat)
    counters = read_counters(fill.counters)
    parts = [Part(part_file(fill.folder, part, fill.share)) for part in range(fill.parts)]
    fill_parts(ordered, fill.threshold, counters, parts, fill.begin, fill.end)


def probe_share(order: Order) -> Found:
    """Probe a share of the sets; numbers are places in the order of probing. In a worker."""
    ordered, ranks = _sets(order.folder, order.flat)
    postings = _postings(order.folder, order.flat, order.threshold)
    postings.forget()
    components, nearest = Components(len(ordered)), Nearest(ranks)
    together = None if order.closest_wanted else components
    probed = 0
    numbers = np.arange(len(ordered))
    for keys, jaccards, done in probe(ordered, postings, order.threshold, numbers, together, order.share):
        ones, others = np.divmod(keys, len(ordered))
        components.join(ones, others)
        if order.closest_wanted:
            nearest.note_pairs(ones, others, jaccards)
        probed += done
    with_closest = np.flatnonzero(nearest.jaccards)
    return Found(
        components.edges(),
        with_closest,
        nearest.closest[with_closest],
        nearest.jaccards[with_closest],
        probed,
    )


@functools.lru_cache(maxsize=1)
def _sets(folder: Path, flat: Path) -> tuple[Sets, Ints]:
    # Mapped: of millions of sets a process has in memory what it looks at, and shares that with the others.
    starts, counts, ranks = np.asarray(np.load(folder / "sets.npy", mmap_mode="r"))
    return Sets(np.memmap(flat, np.uint64, "r"), starts, counts), ranks


@functools.lru_cache(maxsize=1)
def _postings(folder: Path, flat: Path, threshold: float) -> Postings:
    ordered, _ = _sets(folder, flat)
    return Postings(folder, ordered.counts, threshold)
