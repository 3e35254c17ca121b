"""Many sets of numbers in one array, in memory or in a file."""

from __future__ import annotations

import hashlib
import mmap
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from forge.data.word_codes import Uint64

Ints = npt.NDArray[np.int64]

BLOCK_ELEMENTS = 500_000
"""Most elements, or pairs of sets, held at once (8 bytes each, a few arrays)."""


ELEMENT = np.dtype(np.uint64)


def set_digest(one: Uint64) -> bytes:
    """Return what a set is known by, 16 bytes."""
    return hashlib.blake2b(one.data, digest_size=16).digest()


@dataclass(frozen=True)
class Sets(Sequence[Uint64]):
    """Sets of sorted distinct uint64; set i is `flat[starts[i] : starts[i] + counts[i]]`."""

    flat: Uint64
    starts: Ints
    counts: Ints
    digests: Uint64 | None = None
    """(n, 2), a hash of each set, where they were taken."""

    @classmethod
    def of(cls, sets: Sequence[Uint64]) -> Sets:
        """Return `sets` in one array."""
        counts = np.fromiter((len(one) for one in sets), np.int64, len(sets))
        flat = np.concatenate([*sets, np.empty(0, np.uint64)]).astype(np.uint64)
        return cls(flat, np.cumsum(counts) - counts, counts)

    @classmethod
    def in_file(cls, path: Path, counts: Ints, digests: Uint64) -> Sets:
        """Return the sets that a file holds one after the other."""
        # An empty file cannot be mapped.
        flat = np.memmap(path, np.uint64, "r") if counts.sum() else np.empty(0, np.uint64)
        return cls(flat, np.cumsum(counts) - counts, counts, digests)

    @property
    def path(self) -> Path | None:
        """The file they are in; None for sets in memory."""
        name = getattr(self.flat, "filename", None)
        return None if name is None else Path(name)

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, place: int) -> Uint64:  # type: ignore[override]
        return self.gather(np.array([place]))

    def __iter__(self) -> Iterator[Uint64]:
        # A slice of a memory map costs ten times one of the array it is.
        flat = np.asarray(self.flat)
        for start, count in zip(self.starts.tolist(), self.counts.tolist(), strict=True):
            yield flat[start : start + count]

    def take(self, places: Ints | npt.NDArray[np.uint32]) -> Sets:
        """Return the sets at `places`, in that order."""
        digests = None if self.digests is None else self.digests[places]
        return Sets(self.flat, self.starts[places], self.counts[places], digests)

    def gather(self, places: Ints) -> Uint64:
        """Return the elements of the sets at `places`, one set after the other."""
        starts, counts = self.starts[places], self.counts[places]
        if self.path is not None:
            return read_elements(self.path, starts, counts)
        return np.asarray(self.flat[ranges(starts, counts)])

    def release(self) -> None:
        """Give back the memory of what was read from a file; it is read again where it is asked for."""
        mapped = getattr(self.flat, "_mmap", None)
        if mapped is not None:
            mapped.madvise(mmap.MADV_DONTNEED)


def join_files(files: Sequence[Path], whole: Path) -> None:
    """Put files one after the other into `whole`, where it is not there yet; they are gone then."""
    if not whole.exists():
        beside = whole.with_name(f".{whole.name}")
        with beside.open("wb") as file:
            for path in files:
                with path.open("rb") as part:
                    shutil.copyfileobj(part, file, 1 << 22)
        beside.replace(whole)
    for path in files:
        path.unlink(missing_ok=True)


def read_elements(path: Path, starts: Ints, counts: Ints, dtype: np.dtype[Any] = ELEMENT) -> npt.NDArray[Any]:
    """Return the numbers of some ranges of a file, one after the other.

    Read and not mapped: for each range that is touched the kernel maps up to 2 MiB of what lies around it, so that a
    few thousand sets bring the whole file into this process.

    Raises:
        OSError: the file cannot be read, or is shorter.
    """
    ends = np.cumsum(counts) * dtype.itemsize
    elements = np.empty(int(counts.sum()), dtype)
    room = elements.data.cast("B") if len(elements) else memoryview(b"")
    file = os.open(path, os.O_RDONLY)
    try:
        offsets, begins = starts * dtype.itemsize, ends - counts * dtype.itemsize
        for offset, begin, end in zip(offsets.tolist(), begins.tolist(), ends.tolist(), strict=True):
            if os.preadv(file, [room[begin:end]], offset) != end - begin:
                raise OSError(f"{path}: shorter than it was")
    finally:
        os.close(file)
    return elements


def within(lengths: Ints) -> Ints:
    """Return 0, 1, ... for each of runs of `lengths`, one after the other."""
    return ranges(np.zeros(len(lengths), np.int64), lengths)


def ranges(begins: Ints, lengths: Ints) -> Ints:
    """Return `lengths` numbers from each of `begins` on, one range after the other."""
    ends = np.cumsum(lengths)
    found: Ints = np.repeat(begins - ends + lengths, lengths)
    found += np.arange(len(found))
    return found


def chunks(lengths: Ints, most: int | None = None) -> Iterator[tuple[int, int]]:
    """Yield ranges of rows whose `lengths` sum to at most `most`, else BLOCK_ELEMENTS (or of one row)."""
    most = BLOCK_ELEMENTS if most is None else most
    ends = np.cumsum(lengths)
    one = 0
    while one < len(lengths):
        base = int(ends[one - 1]) if one else 0
        end = max(one + 1, int(np.searchsorted(ends, base + most, side="right")))
        yield one, end
        one = end


def distinct(values: Ints) -> Ints:
    """Return the different ones of `values`, sorted: many times as fast as NumPy's `unique`, which hashes them."""
    ordered = np.sort(values)
    kept: Ints = ordered[np.r_[True, ordered[1:] != ordered[:-1]][: len(ordered)]]
    return kept


def stable_order(values: Ints) -> Ints:
    """Return what `argsort` does, of values that are not negative: sorting itself is many times as fast."""
    bits = max(len(values) - 1, 1).bit_length()
    if not len(values) or int(values.max()).bit_length() + bits > 63:
        return np.argsort(values, kind="stable")
    return np.sort(values << bits | np.arange(len(values))) & ((1 << bits) - 1)
