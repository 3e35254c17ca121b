"""The corpus stage: documents mended, judged, freed of copies and split; each one set aside with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as parquet

from forge.data.duplicates import Duplicate, exact_duplicates, families, levelled, near_duplicates
from forge.data.quality import first_finding
from forge.data.repair import repair
from forge.data.shingles import Shingler
from forge.data.split import held_out_groups
from forge.data.tables import TableWriter
from forge.data.words import split_words
from forge.errors import StageError
from forge.progress import Progress

READ_ROWS = 512

CORPUS = pa.schema(
    [
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("words", pa.int64(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
    ]
)
SET_ASIDE = pa.schema(
    [
        pa.field("document_id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("duplicate_of", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class _Document:
    document_id: str
    source: str
    path: str
    text: str
    size_bytes: int
    words: int
    levelled: bytes
    shingles: npt.NDArray[np.uint64]


def build_corpus(lake: Path, parameters: dict[str, Any], out: Path, progress: Progress) -> dict[str, Any]:
    """Make the corpus of a lake; write corpus.parquet and set_aside.parquet to `out`.

    Every document of the lake is in exactly one of the two. Rows are in the order of document_id, a hash: the head of
    either split is a fair sample of it. Of documents that are near copies of each other the longest is kept.

    Raises:
        StageError: the lake cannot be read, every document is set aside, or no family can be held out.
    """
    set_aside: list[dict[str, Any]] = []
    documents, repaired = _read(lake, parameters, set_aside, progress)

    hashes = [document.levelled for document in documents]
    documents = _without(documents, exact_duplicates(hashes, _preference(documents)), None, set_aside)
    near = near_duplicates(
        [document.shingles for document in documents],
        _preference(documents),
        parameters["near_duplicate_jaccard"],
        progress,
    )
    documents = _without(documents, near, parameters["shingle_words"], set_aside)
    reasons = Counter(row["reason"] for row in set_aside)
    if not documents:
        counts = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        raise StageError(
            f"corpus: all {len(set_aside)} documents were set aside ({counts}): loosen the data.* limits they name, "
            "or give other documents"
        )

    # Documents come in the order of their ids, so a family bears the smallest id in it.
    heads = families(
        [document.shingles for document in documents], parameters["held_out_group_jaccard"], progress
    )
    groups = [documents[head].document_id for head in heads]
    sizes_bytes = [document.size_bytes for document in documents]
    held_out = held_out_groups(groups, sizes_bytes, parameters["held_out_fraction"], parameters["seed"])
    summary = {
        "documents_in": len(documents) + len(set_aside),
        "documents": len(documents),
        "bytes": sum(sizes_bytes),
        "words": sum(document.words for document in documents),
        "repaired": repaired,
        "set_aside": dict(sorted(reasons.items())),
        "families": len(set(groups)),
        "largest_family_documents": max(Counter(groups).values()),
    }
    for split in ("train", "held_out"):
        own = [
            size for group, size in zip(groups, sizes_bytes, strict=True) if _split(group, held_out) == split
        ]
        summary |= {f"{split}_documents": len(own), f"{split}_bytes": sum(own)}
    _write(documents, groups, held_out, set_aside, out)
    return summary


def _read(
    lake: Path, parameters: dict[str, Any], set_aside: list[dict[str, Any]], progress: Progress
) -> tuple[list[_Document], int]:
    """Return the documents that pass the rules, in the order of their ids, and how many texts repair changed."""
    shingler = Shingler(parameters["shingle_words"])
    documents = []
    repaired = 0
    for row in _lake_rows(lake, progress):
        text = repair(row["text"])
        repaired += text != row["text"]
        words = split_words(text)
        if finding := first_finding(text, len(words), parameters):
            set_aside.append(_aside(row["document_id"], row["path"], finding.reason, finding.detail, None))
        else:
            documents.append(
                _Document(
                    row["document_id"],
                    row["source"],
                    row["path"],
                    text,
                    len(text.encode()),
                    len(words),
                    levelled(text),
                    shingler.shingles(words),
                )
            )
        progress.advance()
    documents.sort(key=lambda document: document.document_id)
    return documents, repaired


def _lake_rows(lake: Path, progress: Progress) -> Iterator[dict[str, Any]]:
    try:
        file = parquet.ParquetFile(lake / "lake.parquet")
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise StageError(f"{lake}: not a whole lake ({reason}): delete this folder and run again") from None
    with file:
        progress.start(file.metadata.num_rows, "documents")
        for batch in file.iter_batches(READ_ROWS, columns=["document_id", "source", "path", "text"]):
            yield from batch.to_pylist()


def _preference(documents: list[_Document]) -> list[int]:
    """Return the rank of each document among those to keep: longest first, then smallest id."""
    order = sorted(
        range(len(documents)), key=lambda place: -documents[place].size_bytes
    )  # stable, and ids ascend
    ranks = [0] * len(documents)
    for rank, place in enumerate(order):
        ranks[place] = rank
    return ranks


def _without(
    documents: list[_Document],
    duplicates: list[Duplicate],
    shingle_words: int | None,
    set_aside: list[dict[str, Any]],
) -> list[_Document]:
    """Set `duplicates` aside and return the others. `shingle_words` is None for exact ones."""
    for found in duplicates:
        removed, kept, closest = (documents[place] for place in (found.removed, found.kept, found.closest))
        if shingle_words is None:
            reason, detail = "exact duplicate", f"the text of {kept.path}, case and white space aside"
        else:
            reason = "near duplicate"
            detail = (
                f"Jaccard {found.jaccard:.4f} with {closest.document_id} ({closest.path}), "
                f"runs of {shingle_words} words"
            )
        set_aside.append(_aside(removed.document_id, removed.path, reason, detail, kept.document_id))
    gone = {found.removed for found in duplicates}
    return [document for place, document in enumerate(documents) if place not in gone]


def _aside(document_id: str, path: str, reason: str, detail: str, duplicate_of: str | None) -> dict[str, Any]:
    return {
        "document_id": document_id,
        "path": path,
        "reason": reason,
        "detail": detail,
        "duplicate_of": duplicate_of,
    }


def _split(group: str, held_out: frozenset[str]) -> str:
    return "held_out" if group in held_out else "train"


def _write(
    documents: list[_Document],
    groups: list[str],
    held_out: frozenset[str],
    set_aside: list[dict[str, Any]],
    out: Path,
) -> None:
    with TableWriter(out / "corpus.parquet", CORPUS) as corpus:
        for document, group in zip(documents, groups, strict=True):
            corpus.append(
                {
                    "document_id": document.document_id,
                    "source": document.source,
                    "path": document.path,
                    "text": document.text,
                    "bytes": document.size_bytes,
                    "words": document.words,
                    "group": group,
                    "split": _split(group, held_out),
                }
            )
    with TableWriter(out / "set_aside.parquet", SET_ASIDE) as aside:
        for row in sorted(set_aside, key=lambda row: str(row["document_id"])):
            aside.append(row)
