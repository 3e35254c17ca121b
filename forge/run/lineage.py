"""What documents a run's data came from and which it lost, for people to read: counts by kind, and some that were lost.

Of a large lake some row groups stand for all, so that a page costs little whatever its run read. Passages are shown
with personal data and secrets replaced: a page is passed on more easily than a corpus.
"""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet

from forge.data.redaction import redact
from forge.data.sensitive import ALL_KINDS

MOST_ROW_GROUPS = 64
"""Of a lake, to be counted; 4,096 documents each at most."""
MOST_TEXT_ROW_GROUPS = 2
"""Of a lake, to quote from."""
SAMPLES_A_REASON = 3
MOST_REASONS = 12
QUOTED_CHARACTERS = 300
YEAR_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Dropped:
    """A document, or a file, that was left out."""

    stage: str
    path: str
    reason: str
    detail: str
    passage: str = ""
    """Its beginning, personal data and secrets replaced; '' where it has no text, or it lies too far to look for."""


@dataclass(frozen=True, slots=True)
class SourceCount:
    """What became of the documents of a source."""

    read: int = 0
    kept: int = 0
    kept_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Lineage:
    """What the lake and the corpus say of their documents."""

    documents: int
    """In the lake."""
    documents_counted: int
    """Those that `by_language`, `by_year`, `by_type` are of: all, or those of some row groups spread evenly."""
    by_language: dict[str, int]
    """'' where none is known."""
    by_year: dict[str, int]
    """Of last change, else of making; '' where neither is known."""
    by_type: dict[str, int]
    by_source: dict[str, SourceCount]
    dropped: tuple[Dropped, ...] = field(default=())
    """A few of each reason."""


@functools.lru_cache(maxsize=8)
def read_lineage(lake: Path, corpus: Path | None) -> Lineage:
    """Return what a lake, and its corpus where there is one, say of their documents: artifacts never change."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    counted = 0
    with parquet.ParquetFile(lake / "lake.parquet") as file:
        documents = file.metadata.num_rows
        for table in _spread(file, ["language", "modified", "created", "mime", "source"], MOST_ROW_GROUPS):
            counted += table.num_rows
            moment = pc.fill_null(pc.coalesce(table["modified"], table["created"]), "")
            years = pc.utf8_slice_codeunits(moment, 0, YEAR_DIGITS)
            for name, column in (
                ("language", table["language"]),
                ("year", years),
                ("type", table["mime"]),
                ("source", table["source"]),
            ):
                counts[name].update(_counted(column))
    kept = {} if corpus is None else _kept(corpus)
    return Lineage(
        documents=documents,
        documents_counted=counted,
        by_language=dict(counts["language"].most_common()),
        by_year=dict(sorted(counts["year"].items())),
        by_type=dict(counts["type"].most_common()),
        by_source={
            name: SourceCount(read, *kept.get(name, (0, 0)))
            for name, read in sorted(counts["source"].items())
        },
        dropped=(*_unread(lake), *(() if corpus is None else _set_aside(lake, corpus))),
    )


def _spread(file: parquet.ParquetFile, columns: list[str], most: int) -> Iterator[pa.Table]:
    """Yield row groups of a file, all or so many spread evenly over it."""
    groups = file.metadata.num_row_groups
    for number in range(min(groups, most)):
        yield file.read_row_group(number * groups // min(groups, most), columns=columns)


def _counted(column: pa.ChunkedArray) -> dict[str, int]:
    pairs = pc.value_counts(pc.fill_null(column, "")).to_pylist()
    return {pair["values"]: pair["counts"] for pair in pairs}


def _kept(corpus: Path) -> dict[str, tuple[int, int]]:
    """Return documents and bytes that the corpus has of each source."""
    table = parquet.read_table(corpus / "corpus.parquet", columns=["source", "bytes"])
    sums = table.group_by("source").aggregate([("bytes", "sum"), ("bytes", "count")]).to_pylist()
    return {row["source"]: (row["bytes_count"], row["bytes_sum"]) for row in sums}


def _unread(lake: Path) -> Iterator[Dropped]:
    rows = _some_of_each(lake / "set_aside.parquet", ["path", "reason", "detail"])
    return (Dropped("lake", row["path"], row["reason"], row["detail"]) for row in rows)


def _set_aside(lake: Path, corpus: Path) -> Iterator[Dropped]:
    texts: dict[str, str] = {}
    with parquet.ParquetFile(lake / "lake.parquet") as file:
        for table in _spread(file, ["document_id", "text"], MOST_TEXT_ROW_GROUPS):
            begins = pc.utf8_slice_codeunits(table["text"], 0, 2 * QUOTED_CHARACTERS)
            texts |= dict(zip(table["document_id"].to_pylist(), begins.to_pylist(), strict=True))
    columns = ["document_id", "path", "reason", "detail"]
    for row in _some_of_each(corpus / "set_aside.parquet", columns, set(texts)):
        passage, _ = redact(texts.get(row["document_id"], ""), tuple(ALL_KINDS), salt=None)
        passage = " ".join(passage.split())
        cut = passage if len(passage) <= QUOTED_CHARACTERS else f"{passage[:QUOTED_CHARACTERS].rstrip()} …"
        yield Dropped("corpus", row["path"], row["reason"], row["detail"], cut)


def _some_of_each(path: Path, columns: list[str], quotable: set[str] | None = None) -> list[dict[str, Any]]:
    """Return a few rows of each of the commonest reasons, those whose text is at hand first."""
    if not path.is_file():
        return []
    table = parquet.read_table(path, columns=columns)
    reasons = [reason for reason, _ in Counter(_counted(table["reason"])).most_common(MOST_REASONS)]
    rows: list[dict[str, Any]] = []
    for reason in reasons:
        of_reason = table.filter(pc.equal(table["reason"], reason))
        if quotable is not None:
            at_hand = pc.is_in(of_reason["document_id"], pa.array(sorted(quotable), pa.string()))
            of_reason = pa.concat_tables([of_reason.filter(at_hand), of_reason.filter(pc.invert(at_hand))])
        rows += of_reason.slice(0, SAMPLES_A_REASON).to_pylist()
    return rows
