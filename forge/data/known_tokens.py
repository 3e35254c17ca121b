"""What tokens remember for the next ones: where the ids of each text are.

    texts.npy    (5, n) uint64: hash of a text (two), its split, where its tokens begin there, how many they are with
                 BOS and EOS; sorted by the hash
    texts.json   how they were made: the code and the tokenizer

A text that earlier tokens of the same tokenizer have is not encoded again. A tokenizer that was trained anew gives
other ids to all texts, so this helps where it is a given one, or was not trained again.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from forge.data.columns import Ints
from forge.data.loading import SPLITS
from forge.data.made_alike import made_alike
from forge.data.sets import read_elements
from forge.data.word_codes import Uint64

TEXTS, HOW = "texts.npy", "texts.json"
BLOCK_TEXTS = 100_000
"""Written at once."""
Tokens = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Earlier:
    """What the tokens before these know."""

    how: str
    """The code and the tokenizer."""
    tokens: Path | None
    """A tokens artifact."""


def earlier_tokens(folders: Iterable[Path], how: str) -> Earlier:
    """Return the newest of some tokens artifacts that was made in the same way, and is as it was written."""
    return Earlier(how, next(filter(_is_whole, made_alike(folders, HOW, how)), None))


def tokenizer_hash(tokenizer: Path) -> str:
    """Return a hash of what a tokenizer artifact says of ids."""
    digest = hashlib.sha256()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        digest.update((tokenizer / name).read_bytes())
    return digest.hexdigest()


def _is_whole(folder: Path) -> bool:
    try:
        told = json.loads((folder / "tokens.json").read_text(encoding="utf-8"))["sha256"]
        for split in SPLITS:
            with (folder / f"{split}.bin").open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != told[f"{split}.bin"]:
                    return False
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True


class KnownTokens:
    """The tokens of the texts that an artifact has."""

    def __init__(self, folder: Path, dtype: np.dtype[Any]) -> None:
        self._folder, self._dtype = folder, dtype
        self._index: Uint64 = np.load(folder / TEXTS, mmap_mode="r")

    def places(self, wanted: Uint64) -> Ints:
        """Return where in the index each of some texts is, known by (n, 2); -1 where its tokens are not known."""
        if not self._index.shape[1]:
            return np.full(len(wanted), -1, np.int64)
        # Two texts that share 64 bits of a hash: the second of them is encoded again.
        places = np.minimum(np.searchsorted(self._index[0], wanted[:, 0]), self._index.shape[1] - 1)
        there = (self._index[0, places] == wanted[:, 0]) & (self._index[1, places] == wanted[:, 1])
        return np.where(there, places, -1)

    def find(self, wanted: Uint64) -> list[Tokens | None]:
        """Return the tokens of each of some texts, BOS and EOS included; None where they are not known."""
        found: list[Tokens | None] = [None] * len(wanted)
        places = self.places(wanted)
        there = np.flatnonzero(places >= 0)
        split_of, starts, counts = np.zeros((3, len(wanted)), np.int64)
        split_of[there], starts[there], counts[there] = self._index[2:, places[there]].astype(np.int64)
        for number, split in enumerate(SPLITS):
            mine = there[split_of[there] == number]
            flat = read_elements(self._folder / f"{split}.bin", starts[mine], counts[mine], self._dtype)
            ends = np.cumsum(counts[mine])
            for place, begin, end in zip(
                mine.tolist(), (ends - counts[mine]).tolist(), ends.tolist(), strict=True
            ):
                found[place] = flat[begin:end]
        return found


@functools.lru_cache(maxsize=1)
def known_tokens(folder: Path, dtype: np.dtype[Any]) -> KnownTokens:
    """Return the tokens that an artifact has; they stay open in this process."""
    return KnownTokens(folder, dtype)


def remember(
    out: Path, how: str, most: int, places: Iterable[tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]]
) -> None:
    """Write where the tokens of each text are.

    Args:
        out: a tokens artifact in the making.
        how: as `Earlier` has it.
        most: texts that may come.
        places: of each split in the order of SPLITS: (n, 2), the digests of some texts, and (2, n) where the tokens of
            each begin and how many they are.
    """
    index = np.empty((5, most), np.uint64)
    count = 0
    for number, (digests, spans) in enumerate(places):
        own = index[:, count : count + len(digests)]
        own[:2], own[2], own[3:] = digests.T, number, spans
        count += len(digests)
    del digests, spans
    index = index[:, :count]
    order = np.lexsort(index[::-1])
    with (out / TEXTS).open("wb") as file:
        described = {"descr": "<u8", "fortran_order": True, "shape": index.shape}
        np.lib.format.write_array_header_1_0(file, described)
        # There may be millions: what is in memory of them in another order is a block.
        for first in range(0, len(order), BLOCK_TEXTS):
            file.write(index[:, order[first : first + BLOCK_TEXTS]].tobytes(order="F"))
    (out / HOW).write_text(json.dumps(how), encoding="utf-8")
