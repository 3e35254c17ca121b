"""The tables of a lake in the making: rows read now and rows an earlier lake has, in the order of files."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forge.data.batches import UnitCounts
from forge.data.columns import Ints
from forge.data.readings import COUNTED, Flags, Known, Readings
from forge.data.rows import DOCUMENTS, SET_ASIDE
from forge.data.tables import TableWriter
from forge.data.word_codes import Uint64


class LakeTables:
    """Writes lake.parquet and set_aside.parquet, and counts what is in them; a context manager."""

    def __init__(self, out: Path, readings: Readings | None) -> None:
        """Args: `readings` is told where the rows of each file are; None where nobody will ask."""
        self.files = self.files_with_documents = self.documents = self.bytes = 0
        self.set_aside: Counter[str] = Counter()
        self._out, self._readings = out, readings
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._lake = self._stack.enter_context(TableWriter(self._out / "lake.parquet", DOCUMENTS))
        self._aside = self._stack.enter_context(TableWriter(self._out / "set_aside.parquet", SET_ASIDE))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.__exit__(*error)  # type: ignore[arg-type]

    def read(self, units: Sequence[UnitCounts], rows: Rows, keys: Uint64, named: Flags) -> None:
        """Add files that were read now.

        Args:
            units: what was counted of each.
            rows: theirs come next in these.
            keys: (n, 2), their identities.
            named: which of them have one.
        """
        for table in rows.documents(sum(unit.documents for unit in units)):
            self._add_documents(table)
        for table in rows.set_aside(sum(unit.set_aside for unit in units)):
            self._add_aside(table)
        counts = np.array([[getattr(unit, name) for name in COUNTED] for unit in units], np.int64)
        settled = np.array([unit.is_settled for unit in units], np.bool_)
        self._count(keys, counts, named & settled)

    def copy(self, known: Known) -> None:
        """Add files whose rows an earlier lake has."""
        documents, set_aside = known.counts[:, :2].sum(axis=0).tolist()
        for table in known.lake.documents(known.first_document, documents):
            self._add_documents(table)
        for table in known.lake.set_aside(known.first_set_aside, set_aside):
            self._add_aside(table)
        self._count(known.keys, known.counts, None)

    def _count(self, keys: Uint64, counts: Ints, named: Flags | None) -> None:
        files, files_with_documents = counts[:, 2:].sum(axis=0).tolist()
        self.files += files
        self.files_with_documents += files_with_documents
        if self._readings is not None:
            self._readings.note(keys, counts, named)

    def _add_documents(self, table: pa.Table) -> None:
        self._lake.extend(table)
        self.documents += table.num_rows
        self.bytes += pc.sum(table["bytes"]).as_py() or 0

    def _add_aside(self, table: pa.Table) -> None:
        self._aside.extend(table)
        self.set_aside.update(table["reason"].to_pylist())


class Rows:
    """Rows of `batches.ROWS`, taken a number at a time: documents and what was set aside each in their order."""

    def __init__(self, tables: Iterable[pa.Table]) -> None:
        self._tables = iter(tables)
        self._waiting: tuple[deque[pa.Table], deque[pa.Table]] = deque(), deque()

    def documents(self, count: int) -> Iterator[pa.Table]:
        """Yield the next `count` rows of DOCUMENTS."""
        return self._take(0, count)

    def set_aside(self, count: int) -> Iterator[pa.Table]:
        """Yield the next `count` rows of SET_ASIDE."""
        return self._take(1, count)

    def _take(self, kind: int, count: int) -> Iterator[pa.Table]:
        waiting = self._waiting[kind]
        while count:
            while not waiting:
                self._split(next(self._tables))
            table = waiting.popleft()
            part = table.slice(0, count)
            if part.num_rows < table.num_rows:
                waiting.appendleft(table.slice(count))
            count -= part.num_rows
            yield part

    def _split(self, table: pa.Table) -> None:
        is_document = pc.is_null(table["reason"])
        masks = is_document, pc.invert(is_document)
        for waiting, schema, mask in zip(self._waiting, (DOCUMENTS, SET_ASIDE), masks, strict=True):
            found = table.filter(mask).select(schema.names).cast(schema)
            if found.num_rows:
                waiting.append(found)
