"""The tables of a lake in the making: rows read now and rows an earlier lake has, in the order of files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from forge.data.batches import Batch, UnitCounts
from forge.data.readings import Reading, Readings
from forge.data.rows import DOCUMENTS, SET_ASIDE
from forge.data.tables import TableWriter

Key = bytes | None


class LakeTables:
    """Writes lake.parquet and set_aside.parquet, and counts what is in them; a context manager."""

    def __init__(self, out: Path, readings: Readings | None) -> None:
        """Args: `readings` is told where the rows of each file are; None where nobody will ask."""
        self.files = self.files_with_documents = self.documents = self.bytes = 0
        self.set_aside: Counter[str] = Counter()
        self._out, self._readings = out, readings
        self._stack = ExitStack()
        self._noted_documents = self._noted_set_aside = 0

    def __enter__(self) -> Self:
        self._lake = self._stack.enter_context(TableWriter(self._out / "lake.parquet", DOCUMENTS))
        self._aside = self._stack.enter_context(TableWriter(self._out / "set_aside.parquet", SET_ASIDE))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]

    def add(
        self,
        units: Sequence[UnitCounts],
        tables: Iterable[pa.Table],
        keys: Sequence[Key],
        known: Sequence[Reading | None],
    ) -> None:
        """Add the files of a batch.

        Args:
            units: what was counted of those that were read now.
            tables: their rows, in tables of `batches.ROWS`.
            keys: the identities of all files.
            known: where an earlier lake has the rows of a file; None where it was read now.
        """
        rows, fresh = _Rows(tables), iter(units)
        for run in _runs(known):
            if run[0] is None:
                counts = [next(fresh) for _ in run]
                for table in rows.take(sum(unit.documents + unit.set_aside for unit in counts)):
                    is_document = pc.is_null(table["reason"])
                    self._add_documents(table.filter(is_document).select(DOCUMENTS.names).cast(DOCUMENTS))
                    self._add_aside(
                        table.filter(pc.invert(is_document)).select(SET_ASIDE.names).cast(SET_ASIDE)
                    )
            else:
                readings = [reading for reading in run if reading is not None]
                counts = [reading.counts for reading in readings]
                lake = readings[0].lake
                documents, aside = readings[0].first_document, readings[0].first_set_aside
                for table in lake.documents(documents, sum(unit.documents for unit in counts)):
                    self._add_documents(table.cast(DOCUMENTS))
                for table in lake.set_aside(aside, sum(unit.set_aside for unit in counts)):
                    self._add_aside(table.cast(SET_ASIDE))
            for unit in counts:
                self.files += unit.files
                self.files_with_documents += unit.files_with_documents
        self._note(keys, _counts(units, known))

    def _add_documents(self, table: pa.Table) -> None:
        self._lake.extend(table)
        self.documents += table.num_rows
        self.bytes += pc.sum(table["bytes"]).as_py() or 0

    def _add_aside(self, table: pa.Table) -> None:
        self._aside.extend(table)
        self.set_aside.update(table["reason"].to_pylist())

    def _note(self, keys: Sequence[Key], counts: Iterable[UnitCounts]) -> None:
        if self._readings is None:
            return
        for key, unit in zip(keys, counts, strict=True):
            self._readings.note(key, unit, self._noted_documents, self._noted_set_aside)
            self._noted_documents += unit.documents
            self._noted_set_aside += unit.set_aside


def left_of(batch: Batch, known: Sequence[Reading | None]) -> Batch:
    """Return what of a batch has to be read."""
    if batch.export_root is not None:
        return batch if known[0] is None else Batch(batch.source, (), batch.export_root)
    left = (entry for entry, reading in zip(batch.files, known, strict=True) if reading is None)
    return Batch(batch.source, tuple(left))


def _counts(units: Sequence[UnitCounts], known: Sequence[Reading | None]) -> Iterator[UnitCounts]:
    fresh = iter(units)
    for reading in known:
        yield next(fresh) if reading is None else reading.counts


def _runs(known: Sequence[Reading | None]) -> Iterator[list[Reading | None]]:
    """Yield runs of files that were read now, or whose rows follow each other in one earlier lake."""
    run: list[Reading | None] = []
    for reading in known:
        if run and not _follows(run[-1], reading):
            yield run
            run = []
        run.append(reading)
    if run:
        yield run


def _follows(one: Reading | None, two: Reading | None) -> bool:
    if one is None or two is None:
        return one is two
    return (
        one.lake is two.lake
        and one.first_document + one.counts.documents == two.first_document
        and one.first_set_aside + one.counts.set_aside == two.first_set_aside
    )


class _Rows:
    """Tables, taken a number of rows at a time."""

    def __init__(self, tables: Iterable[pa.Table]) -> None:
        self._tables = iter(tables)
        self._rest: pa.Table | None = None

    def take(self, count: int) -> Iterator[pa.Table]:
        while count:
            table = next(self._tables) if self._rest is None else self._rest
            part = table.slice(0, count)
            self._rest = table.slice(count) if table.num_rows > count else None
            count -= part.num_rows
            yield part
