"""Paragraphs that many documents share: each stays in the first documents that have it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from forge.data.draft import Change, Draft
from forge.data.shingles import runs
from forge.data.word_codes import Uint64, word_codes

BREAK = re.compile(r"(\n\s*\n)")


def paragraph_hashes(text: str, least_words: int) -> Uint64:
    """Return a hash of the words of each paragraph, uint64; 0 for one of fewer than `least_words` words."""
    hashes = []
    for words in word_codes(BREAK.split(text)[::2]):
        long = len(words) >= max(1, least_words)
        hashes.append(int(runs(words.codes, len(words))[0]) | 1 if long else 0)
    return np.array(hashes, np.uint64)


def repeated(documents: Sequence[Uint64], most: int) -> dict[int, npt.NDArray[np.int64]]:
    """Return by document the paragraphs to take out: those that `most` earlier documents have, or that come again."""
    lengths = [len(one) for one in documents]
    flat = np.concatenate([*documents, np.empty(0, np.uint64)])
    order = np.argsort(flat, kind="stable")
    hashes = flat[order]
    first = np.r_[True, hashes[1:] != hashes[:-1]][: len(hashes)]
    begins = np.maximum.accumulate(np.where(first, np.arange(len(hashes)), 0))
    late = (np.arange(len(hashes)) - begins >= most) & (hashes != 0)
    gone = np.sort(order[late])
    borders = np.cumsum([0, *lengths])
    owners = np.searchsorted(borders, gone, side="right") - 1
    found: dict[int, npt.NDArray[np.int64]] = {}
    firsts = np.flatnonzero(np.r_[True, owners[1:] != owners[:-1]][: len(owners)]).tolist()
    for first, last in itertools.pairwise([*firsts, len(owners)]):
        one = int(owners[first])
        found[one] = gone[first:last] - borders[one]
    return found


def remove(draft: Draft, places: Sequence[int]) -> None:
    """Take the paragraphs at `places` out of a document, each with the break after it."""
    gone = set(places)
    pieces = BREAK.split(draft.text)
    kept = [
        piece + (pieces[2 * place + 1] if 2 * place + 1 < len(pieces) else "")
        for place, piece in enumerate(pieces[::2])
        if place not in gone
    ]
    text = "".join(kept).strip("\n")
    draft.rewrite(
        text, Change("paragraphs", f"{len(gone)} paragraphs other documents have", float(len(gone)))
    )
