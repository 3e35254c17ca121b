"""The lake stage: every document of the sources as it is, and every one that could not be read, with why."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from forge.data.batches import Batch, BatchFile, Counts, in_batches, read_batch
from forge.data.formats.slack import KINDS, USERS, is_slack_file
from forge.data.listing import Listing
from forge.data.ocr import CPU_LIMIT_S, WALL_LIMIT_S, check_ocr
from forge.data.pool import Limits, Pool
from forge.data.reading import NeedsWorker
from forge.data.rows import DOCUMENTS, SET_ASIDE
from forge.data.sources import list_files
from forge.data.tables import TableWriter
from forge.errors import StageError
from forge.progress import Progress

SMALL_BYTES = 4 * 1024 * 1024
"""Sources of fewer bytes are read in this process, but for risky formats: others take longer to start."""

READ = ".txt .md .rst .html .pdf .docx .pptx .xlsx .csv .eml .mbox .json .jsonl .parquet .arrow .zip .tar, source code"


def build_lake(
    sources: Sequence[str],
    parameters: dict[str, Any],
    out: Path,
    progress: Progress,
    workers: int | None = None,
    limits: Limits | None = None,
) -> dict[str, Any]:
    """Read all documents of `sources`; write lake.parquet and set_aside.parquet to `out`.

    Files seen = files that yielded a document + files that did not; each of the latter is in set_aside.parquet. An
    archive counts as the files in it. Rows are in the order of the sources, then of the relative paths, then as the
    file has them; a Slack export that lies unpacked comes last of its source. The same bytes come out for any number
    of workers.

    Args:
        sources: folders, files, `package:NAME/inner/path` or addresses.
        parameters: `max_file_bytes`, `metadata_allow` and `ocr` of the spec.
        out: an empty folder.
        progress: told the bytes of the files that are done.
        workers: processes that read; as many as there are processors by default.
        limits: what one file may take.

    Raises:
        StageError: there is no source, one is not there, or none of the files yields a document.
    """
    if not sources:
        raise StageError("lake: no source given: set data.path to a folder or file of documents")
    if parameters.get("ocr"):
        check_ocr()
        limits = limits or Limits(CPU_LIMIT_S, WALL_LIMIT_S)
    listings = [list_files(source) for source in sources]
    total_bytes = sum(listing.bytes for listing in listings)
    progress.start(total_bytes, "bytes")
    batches = _batches(sources, listings)
    counts = Counts()
    with (
        TableWriter(out / "lake.parquet", DOCUMENTS) as lake,
        TableWriter(out / "set_aside.parquet", SET_ASIDE) as aside,
        Pool(workers or _processors(), parameters, out, limits or Limits()) as pool,
    ):
        for batch, found, tables in _read(batches, total_bytes, parameters, pool):
            for table in tables:
                is_document = pc.is_null(table["reason"])
                lake.extend(table.filter(is_document).select(DOCUMENTS.names).cast(DOCUMENTS))
                aside.extend(table.filter(pc.invert(is_document)).select(SET_ASIDE.names).cast(SET_ASIDE))
            counts.add(found)
            progress.advance(sum(entry.file.bytes for entry in batch.files if not entry.file.problem))
    if counts.documents == 0:
        raise StageError(_nothing_read(sources, counts))
    return {
        "files": counts.files,
        "files_with_documents": counts.files_with_documents,
        "files_set_aside": counts.files - counts.files_with_documents,
        "documents": counts.documents,
        "bytes": counts.bytes,
        "set_aside": dict(sorted(counts.set_aside.items())),
    }


def _batches(sources: Sequence[str], listings: Sequence[Listing]) -> Iterator[Batch]:
    for place, (source, listing) in enumerate(zip(sources, listings, strict=True)):
        before = listings[:place]
        exports: dict[str, list[BatchFile]] = {root: [] for root in _export_roots(listing)}
        entries = (BatchFile(file, sum(file.relative in other for other in before)) for file in listing)
        yield from in_batches(source, _without_exports(entries, exports))
        for root, files in exports.items():
            yield Batch(source, tuple(files), root)


def _export_roots(listing: Listing) -> list[str]:
    """Return the folders that are unpacked Slack exports, sorted."""
    found = set()
    for file in chain.from_iterable(listing.named(name) for name in USERS):
        root = file.relative.rpartition("/")[0]
        root += "/" if root else ""
        if not file.problem and any(root + name in listing for name in KINDS):
            found.add(root)
    return sorted(found)


def _without_exports(
    entries: Iterable[BatchFile], exports: dict[str, list[BatchFile]]
) -> Iterator[BatchFile]:
    """Yield what belongs to no export; put the rest where it belongs."""
    for entry in entries:
        own = next((root for root in exports if is_slack_file(entry.file.relative, root)), None)
        if own is None:
            yield entry
        else:
            exports[own].append(entry)


def _read(
    batches: Iterator[Batch], total_bytes: int, parameters: dict[str, Any], pool: Pool
) -> Iterator[tuple[Batch, Counts, Iterable[pa.Table]]]:
    """Yield each batch with its counts and rows: read here while all is small and safe, by the pool from there on."""
    if total_bytes <= SMALL_BYTES:
        for batch in batches:
            counts = Counts()
            try:
                tables = list(
                    read_batch(batch, parameters, lambda *unit: None, {}, may_risk=False, counts=counts)
                )
            except NeedsWorker:
                batches = chain([batch], batches)
                break
            yield batch, counts, tables
    yield from pool.read(batches)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _nothing_read(sources: Sequence[str], counts: Counts) -> str:
    where = ", ".join(sources)
    if not counts.files:
        return f"lake: {where}: no files: put documents ({READ}) there"
    reasons: Counter[str] = counts.set_aside
    found = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    return f"lake: {where}: no document in {counts.files} files ({found}): give documents as {READ}"
