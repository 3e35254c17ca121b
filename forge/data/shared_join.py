"""A similarity join on several processes: each probes shares of the sets, and says what hangs together in them.

Sets and first elements lie in files; what comes back is at most a few numbers a set, however many pairs there are. The
result is the same for any number of shares: a pair is found by whoever has its probe, and one that is passed over hangs
together by pairs of the same share.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from forge.data.components import Components
from forge.data.nearest import Nearest
from forge.data.postings import Postings
from forge.data.prefixes import Counters, Part, fill_parts, part_count
from forge.data.sets import Ints, Sets
from forge.data.similarity import probe, probing_order
from forge.data.workers import map_in_order, pool_width

SHARES = 4
"""Of the probes, for each process: they end at about the same time, and progress is seen."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a process is to do."""

    folder: Path
    """Where the sets' places and the parts are."""
    flat: Path
    """The elements."""
    threshold: float
    closest_wanted: bool
    part: int
    parts: int
    share: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Found:
    """What hangs together in a share of the probes. Numbers are places in the list of sets."""

    members: Ints
    heads: Ints
    """A set that hangs together with each of `members`."""
    ones: Ints
    closest: Ints
    """The set of the share's pairs that is most like each of `ones`."""
    jaccards: npt.NDArray[np.float64]
    seen: Ints
    """Keys of the pairs, where another part must not find them again."""
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
        count = part_count(ordered.counts, threshold)
        parts = [Part(folder / f"{number}.part") for number in range(count)]
        fill_parts(ordered, threshold, counters, parts)
        shares = SHARES * pool_width(pool)
        for number in range(count):
            orders = (
                Order(folder, flat.resolve(), threshold, closest_wanted, number, count, (one, shares))
                for one in range(shares)
            )
            seen = []
            for _, found in map_in_order(pool, probe_share, orders, lambda order: (order,)):
                seen.append(found.seen)
                yield Found(
                    numbers[found.members],
                    numbers[found.heads],
                    numbers[found.ones],
                    numbers[found.closest],
                    found.jaccards,
                    found.seen,
                    found.probed,
                )
            # Whoever probes the next part leaves out what this one or an earlier one found.
            np.save(folder / f"{number}.npy", np.concatenate(seen))


def probe_share(order: Order) -> Found:
    """Probe a share of a part; numbers are places in the order of probing. In a worker."""
    ordered, ranks = _sets(order.folder, order.flat)
    postings = _postings(order.folder, order.flat, order.part, order.threshold)
    postings.forget()
    earlier = [np.load(order.folder / f"{part}.npy") for part in range(order.part)]
    seen = np.sort(np.concatenate([np.empty(0, np.int64), *earlier]))
    components, nearest = Components(len(ordered)), Nearest(ranks)
    together = None if order.closest_wanted else components
    keys_of, done_all = [np.empty(0, np.int64)], 0
    numbers = np.arange(len(ordered))
    for keys, jaccards, done in probe(
        ordered, postings, order.threshold, seen, numbers, together, order.parts, order.share
    ):
        ones, others = np.divmod(keys, len(ordered))
        components.join(ones, others)
        if order.closest_wanted:
            nearest.note_pairs(ones, others, jaccards)
        if order.part < order.parts - 1:
            keys_of.append(keys)
        done_all += done
    ordered.release()
    members = np.flatnonzero(components.names() != numbers)
    with_closest = np.flatnonzero(nearest.jaccards)
    return Found(
        members,
        components.names()[members],
        with_closest,
        nearest.closest[with_closest],
        nearest.jaccards[with_closest],
        np.concatenate(keys_of),
        done_all if order.part == order.parts - 1 else 0,
    )


@functools.lru_cache(maxsize=1)
def _sets(folder: Path, flat: Path) -> tuple[Sets, Ints]:
    starts, counts, ranks = np.load(folder / "sets.npy")
    return Sets(np.memmap(flat, np.uint64, "r"), starts, counts), ranks


@functools.lru_cache(maxsize=1)
def _postings(folder: Path, flat: Path, part: int, threshold: float) -> Postings:
    ordered, _ = _sets(folder, flat)
    return Postings(*Part(folder / f"{part}.part").read(), ordered.counts, threshold)
