"""Where documents begin and end in sequences of a token stream."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

Span = tuple[int, int, int]
"""Row, first token, and the token after the last one of a document's part in a row."""


def document_positions(ids: npt.NDArray[np.int64], bos_id: int, eos_id: int) -> npt.NDArray[np.int64]:
    """Return each token's place in its document, as far as its row holds the document; ids and result [rows, length].

    A document begins at BOS, after EOS (part of a cut document has no BOS of its own), and at the beginning of a row.
    A tokenizer never makes these ids of a document's text. Padding, which follows an EOS, is a document of its own.
    """
    begins = ids == bos_id
    begins[:, 1:] |= ids[:, :-1] == eos_id
    return positions_from(begins)


def positions_from(begins: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return each token's place in its document, told where documents begin; both [rows, length].

    One begins at the beginning of a row, whatever is said of it.
    """
    begins = begins.copy()
    begins[:, :1] = True
    place = np.arange(begins.shape[1], dtype=np.int64)
    return place - np.maximum.accumulate(np.where(begins, place, 0), axis=1)


def document_spans(positions: npt.NDArray[np.int64]) -> tuple[Span, ...]:
    """Return the parts that each row of `positions` is made of, in order; they cover every token once."""
    spans: list[Span] = []
    for row, places in enumerate(positions):
        firsts = [*np.flatnonzero(places == 0).tolist(), len(places)]
        spans += [(row, first, end) for first, end in itertools.pairwise(firsts)]
    return tuple(spans)
