"""The files of tokens: documents where packing puts them, padding between, labels apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from forge.data.chat_tokens import labelled, padding
from forge.data.encoded import Encoded
from forge.data.encoding import SpecialIds
from forge.data.loading import SPLITS
from forge.data.packing import Packing

COPY_TOKENS = 1 << 22
"""Tokens copied at once."""


def lay_out(
    split: Encoded,
    path: Path,
    order: npt.NDArray[np.int64],
    packing: Packing,
    packed_length: int | None,
    special: SpecialIds,
    dtype: np.dtype[Any],
) -> None:
    """Write the tokens of `split` to `path`, its pieces where `packing` puts them, PAD between."""
    encoded = split.path
    lengths = np.asarray(split.lengths)
    begins = (np.cumsum(lengths) - lengths)[order]
    flat = np.fromfile(encoded, dtype, 0) if not encoded.stat().st_size else np.memmap(encoded, dtype, "r")
    end = packing.sequences * packed_length + 1 if packed_length else int(packing.tokens.sum())
    with path.open("wb") as file:
        written = 0
        pieces = zip(packing.document, packing.offset, packing.start, packing.tokens, strict=True)
        for document, offset, start, tokens in pieces:
            _pad(file, int(start) - written, special.pad, dtype)
            first = int(begins[document] + offset)
            file.write(flat[first : first + int(tokens)].tobytes())
            written = int(start + tokens)
        _pad(file, end - written, special.pad, dtype)


def _pad(file: BinaryIO, count: int, pad: int, dtype: np.dtype[Any]) -> None:
    if count:
        # Labels, where there are any, are 0 but for the first: padding is no part of the conversation before it.
        filling = np.full(count, pad, dtype) if dtype.names is None else padding(count, pad, dtype)
        file.write(filling.tobytes())


def separate_labels(out: Path, dtype: np.dtype[Any]) -> None:
    """Write the labels in <split>.bin to <split>.labels.bin, and leave the tokens."""
    for split in SPLITS:
        both = out / f"{split}.bin"
        marked = np.memmap(both, labelled(dtype), "r")
        tokens = out / f"{split}.tokens"
        with tokens.open("wb") as ids, (out / f"{split}.labels.bin").open("wb") as labels:
            for first in range(0, len(marked), COPY_TOKENS):
                some = marked[first : first + COPY_TOKENS]
                ids.write(some["id"].tobytes())
                labels.write(some["label"].tobytes())
        del marked
        tokens.replace(both)
