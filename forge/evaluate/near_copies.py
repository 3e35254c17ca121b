"""Whether held-out documents have near copies in the training text: they should not, and this looks again.

The split keeps families of similar documents on one side. This counts shared runs of words anew, text against text,
so that a fault in making families, or their being switched off, shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from forge.data.corpus_rows import corpus_rows, split_bytes
from forge.data.sets import within
from forge.data.shingles import shingle_sets
from forge.data.word_codes import word_codes
from forge.progress import Progress

BLOCK_DOCUMENTS = 256
MOST_EXAMPLES = 5


def near_copies(
    corpus: Path, document_ids: Sequence[str], shingle_words: int, jaccard: float, progress: Progress
) -> dict[str, Any]:
    """Return how many of some held-out documents have a near copy among those trained on, and the nearest pairs.

    A near copy is a document whose set of runs of `shingle_words` words has a Jaccard of at least `jaccard` with that
    of the held-out one, counted exactly.

    Args:
        corpus: a corpus artifact.
        document_ids: of held-out documents.
        shingle_words: words of a run.
        jaccard: from which two documents are near copies.
        progress: told of bytes.
    """
    progress.start(split_bytes(corpus, "train"), "bytes")
    wanted = set(document_ids)
    texts = {
        row.document_id: row.text for row in corpus_rows(corpus, "held_out") if row.document_id in wanted
    }
    names = list(texts)
    sets = list(shingle_sets(list(word_codes(list(texts.values()))), shingle_words))
    sizes = np.array([len(one) for one in sets], np.int64)
    elements = np.concatenate([*sets, np.empty(0, np.uint64)])
    order = np.argsort(elements, kind="stable")
    elements, owners = elements[order], np.repeat(np.arange(len(sets)), sizes)[order]
    best = np.zeros(len(sets), np.float64)
    nearest = [""] * len(sets)

    def look(block: list[tuple[str, str]]) -> None:
        codes = list(word_codes([text for _, text in block]))
        for (identifier, text), own in zip(block, shingle_sets(codes, shingle_words), strict=True):
            begins, ends = (np.searchsorted(elements, own, side=side) for side in ("left", "right"))
            counts = ends - begins
            progress.advance(len(text.encode()))
            if not counts.any():
                continue
            hits = owners[np.repeat(begins, counts) + within(counts)]
            shared = np.bincount(hits, minlength=len(sets))
            similarity = shared / np.maximum(sizes + len(own) - shared, 1)
            for place in np.flatnonzero(similarity > best):
                best[place], nearest[place] = similarity[place], identifier

    block: list[tuple[str, str]] = []
    for row in corpus_rows(corpus, "train"):
        block.append((row.document_id, row.text))
        if len(block) == BLOCK_DOCUMENTS:
            look(block)
            block = []
    look(block)
    closest = np.argsort(-best, kind="stable")[:MOST_EXAMPLES]
    return {
        "jaccard": jaccard,
        "shingle_words": shingle_words,
        "documents": len(names),
        "documents_with_near_copy": int((best >= jaccard).sum()),
        "highest_jaccard": float(best.max(initial=0.0)),
        "closest": [
            {
                "document_id": names[place],
                "training_document_id": nearest[place],
                "jaccard": float(best[place]),
            }
            for place in closest
            if nearest[place]
        ],
    }
