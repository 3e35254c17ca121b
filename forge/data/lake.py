"""The lake stage: every document of the sources as it is, and every one that could not be read, with why."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from forge.data.batches import Batch, UnitCounts, read_batch
from forge.data.engine import LOCAL, Engine
from forge.data.engine_pool import EnginePool
from forge.data.fork_server import core_count
from forge.data.lake_files import Step, bytes_of, columns_of, look_into, unread
from forge.data.lake_tables import LakeTables, Rows
from forge.data.ocr import CPU_LIMIT_S, WALL_LIMIT_S, check_ocr
from forge.data.pool import Limits, Pool, Read
from forge.data.reading import NeedsWorker
from forge.data.readings import Known, Readings
from forge.data.sources import list_files
from forge.data.spare_memory import give_back
from forge.data.workers import make_pool
from forge.errors import StageError
from forge.files import work_folder
from forge.progress import Progress

SMALL_BYTES = 4 * 1024 * 1024
"""Fewer bytes that are new are read in this process, but for risky formats: others take longer to start."""

RECORD_FILES = ".jsonl .ndjson .json .parquet .arrow, each record with"
TEXT_FILES = (
    ".txt .md .rst .html .pdf .docx .pptx .xlsx .csv .eml .mbox .json .jsonl .parquet .arrow .zip .tar, "
    "source code"
)


def build_lake(
    sources: Sequence[str],
    parameters: dict[str, Any],
    out: Path,
    progress: Progress,
    workers: int | None = None,
    limits: Limits | None = None,
    work: Path | None = None,
    engine: Engine = LOCAL,
    readings: Readings | None = None,
) -> dict[str, Any]:
    """Read all documents of `sources`; write lake.parquet and set_aside.parquet to `out`.

    Files seen = files that yielded a document + files that did not; each of the latter is in set_aside.parquet. An
    archive counts as the files in it. Rows are in the order of the sources, then of the relative paths, then as the
    file has them; a Slack export that lies unpacked comes last of its source. The same bytes come out for any number
    of workers.

    Args:
        sources: folders, files, `package:NAME/inner/path` or addresses.
        parameters: `max_file_bytes`, `metadata_allow` and `ocr` of the spec, and `records`: what is wanted.
        out: an empty folder.
        progress: told the bytes of the files that are done.
        workers: processes that read; as many as there are processors by default.
        limits: what one file may take.
        work: where finished parts are kept, and found again after a kill; None keeps none.
        engine: what carries out the tasks.
        readings: what earlier lakes read of the same files, which is not read again; gets readings.parquet written.

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
    own_sources = [
        look_into(source, listing, listings[:place], readings)
        for place, (source, listing) in enumerate(zip(sources, listings, strict=True))
    ]
    left_bytes = sum(own.left_bytes for own in own_sources)
    script: deque[Step] = deque()
    found_files = 0
    with (
        work_folder(work, out) as parts,
        LakeTables(out, readings) as tables,
        _pool(workers, parameters, parts, work is not None, limits or Limits(), engine) as pool,
    ):

        def copy() -> int:
            """Copy what comes before the next file that is read; return its files."""
            files = 0
            while script and isinstance(known := script[0], Known):
                tables.copy(known)
                progress.resume(known.bytes)
                files += known.entries
                script.popleft()
            return files

        for read in _read(unread(own_sources, readings, script), left_bytes, parameters, pool):
            rows, units = Rows(read.tables), deque(read.units)
            while units:
                found_files += copy()
                some: list[tuple[bytes, bool]] = []
                while len(some) < len(units) and script and not isinstance(step := script[0], Known):
                    some.append(step)
                    script.popleft()
                tables.read([units.popleft() for _ in some], rows, *columns_of(some))
            (progress.resume if read.found else progress.advance)(bytes_of(read.batch))
        found_files += copy()
    if tables.documents == 0:
        raise StageError(_nothing_read(sources, tables, parameters.get("records", "text")))
    if readings is not None:
        readings.write(out)
    give_back()
    if found_files:
        progress.note(
            f"{found_files:,} of {tables.files:,} files are what an earlier run read: not read again"
        )
    return {
        "files": tables.files,
        "files_with_documents": tables.files_with_documents,
        "files_set_aside": tables.files - tables.files_with_documents,
        "documents": tables.documents,
        "bytes": tables.bytes,
        "set_aside": dict(sorted(tables.set_aside.items())),
    }


@contextmanager
def _pool(
    workers: int | None,
    parameters: dict[str, Any],
    folder: Path,
    keep: bool,
    limits: Limits,
    engine: Engine,
) -> Iterator[Pool | EnginePool]:
    if engine.name == "local":
        with Pool(workers or core_count(), parameters, folder, keep, limits) as pool:
            yield pool
        return
    with make_pool(workers, 0, engine) as executor:
        assert executor is not None
        yield EnginePool(executor, parameters, folder, keep, limits)


def _read(
    batches: Iterator[Batch], left_bytes: int, parameters: dict[str, Any], pool: Pool | EnginePool
) -> Iterator[Read]:
    """Yield what was read of each batch: read here while all is small and safe, by the pool from there on."""
    if left_bytes <= SMALL_BYTES:
        for batch in batches:
            units: list[UnitCounts] = []
            try:
                tables = list(
                    read_batch(batch, parameters, lambda *unit: None, {}, may_risk=False, units=units)
                )
            except NeedsWorker:
                batches = chain([batch], batches)
                break
            yield Read(batch, units, tables, False)
    yield from pool.read(batches)


def _nothing_read(sources: Sequence[str], counts: LakeTables, records: str) -> str:
    where = ", ".join(sources)
    wanted, formats = {
        "text": ("document", TEXT_FILES),
        "conversation": ("conversation", f"{RECORD_FILES} `messages`, or `prompt` and `completion`"),
        "preference": (
            "preference",
            f"{RECORD_FILES} `chosen` and `rejected`, and `prompt` where they lack it",
        ),
    }[records]
    if not counts.files:
        return f"lake: {where}: no files: put {wanted}s ({formats}) there"
    reasons: Counter[str] = counts.set_aside
    found = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    return f"lake: {where}: no {wanted} in {counts.files} files ({found}): give {wanted}s as {formats}"
