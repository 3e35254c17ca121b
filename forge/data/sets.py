"""Many sets of numbers in one array, in memory or in a file."""

from __future__ import annotations

import mmap
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from forge.data.word_codes import Uint64

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sets(Sequence[Uint64]):
    """Sets of sorted distinct uint64; set i is `flat[starts[i] : starts[i] + counts[i]]`."""

    flat: Uint64
    starts: Ints
    counts: Ints

    @classmethod
    def of(cls, sets: Sequence[Uint64]) -> Sets:
        """Return `sets` in one array."""
        counts = np.fromiter((len(one) for one in sets), np.int64, len(sets))
        flat = np.concatenate([*sets, np.empty(0, np.uint64)]).astype(np.uint64)
        return cls(flat, np.cumsum(counts) - counts, counts)

    @classmethod
    def in_files(cls, files: Sequence[Path], whole: Path, counts: Ints) -> Sets:
        """Return the sets that `files` hold one after the other; they become `whole`, where it is not there yet."""
        if not whole.exists():
            beside = whole.with_name(f".{whole.name}")
            with beside.open("wb") as file:
                for path in files:
                    with path.open("rb") as part:
                        shutil.copyfileobj(part, file, 1 << 22)
            beside.replace(whole)
        for path in files:
            path.unlink(missing_ok=True)
        flat = np.memmap(whole, np.uint64, "r") if counts.sum() else np.empty(0, np.uint64)
        return cls(flat, np.cumsum(counts) - counts, counts)

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, place: int) -> Uint64:  # type: ignore[override]
        start = self.starts[place]
        return np.asarray(self.flat[start : start + self.counts[place]])

    def __iter__(self) -> Iterator[Uint64]:
        # A slice of a memory map costs ten times one of the array it is.
        flat = np.asarray(self.flat)
        for start, count in zip(self.starts.tolist(), self.counts.tolist(), strict=True):
            yield flat[start : start + count]

    def take(self, places: Ints) -> Sets:
        """Return the sets at `places`, in that order."""
        return Sets(self.flat, self.starts[places], self.counts[places])

    def gather(self, places: Ints) -> Uint64:
        """Return the elements of the sets at `places`, one set after the other."""
        counts = self.counts[places]
        return np.asarray(self.flat[np.repeat(self.starts[places], counts) + within(counts)])

    def release(self) -> None:
        """Give back the memory of what was read from a file; it is read again where it is asked for."""
        mapped = getattr(self.flat, "_mmap", None)
        if mapped is not None:
            mapped.madvise(mmap.MADV_DONTNEED)


def within(lengths: Ints) -> Ints:
    """Return 0, 1, ... for each of runs of `lengths`, one after the other."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) - np.repeat(ends - lengths, lengths)
