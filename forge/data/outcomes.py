"""What a corpus remembers for the next one of each text: what the steps on one document made of it.

    outcomes-<pass>.arrow   by the hash of a text before the steps of a pass: why it was set aside, or what was changed,
                            the text where it is another one, and what is counted of it

The key in the file is of the code, the steps and their limits. A text that was seen under the same key is not repaired,
judged, redacted or counted again.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.ipc as ipc

from forge.data.draft import Change, Draft, Finding
from forge.data.statements import Stated
from forge.data.word_codes import Uint64

REMEMBERED_STEPS = frozenset({"repair", "quality", "languages", "redact"})
"""What they make of a document hangs on its text alone."""
REMEMBERED_NOTES = frozenset({"exact", "words", "lines", "paragraphs", "versions"})
"""What is counted of a text that passed the steps; its shingles are remembered in `forge.data.signatures`."""
KEY = b"forge_key"
OUTCOMES = pa.schema(
    [
        pa.field("digest", pa.binary(16), nullable=False),
        pa.field("step", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("changes", pa.string()),
        pa.field("text", pa.large_string()),
        pa.field("words", pa.int64()),
        pa.field("levelled", pa.binary(32)),
        pa.field("lines", pa.list_(pa.binary(8))),
        pa.field("paragraphs", pa.large_list(pa.uint64())),
        pa.field("stated", pa.string()),
    ]
)


@dataclass(slots=True)
class Outcome:
    """What was made of a text. What nobody asked for is None."""

    digest: bytes
    """Of the text before."""
    finding: tuple[str, Finding] | None
    """Why it is set aside, after the step that says so."""
    changes: list[Change]
    text: str | None
    """After the steps, where they changed it."""
    words: int | None = None
    levelled: bytes | None = None
    lines: list[bytes] | None = None
    """Hashes of those at its edges, sorted."""
    paragraphs: Uint64 | None = None
    stated: Stated | None = None

    def carry_over(self, draft: Draft) -> None:
        """Do to a document of this text what was done to it before."""
        draft.changes += self.changes
        if self.text is not None:
            draft.text, draft.digest = self.text, None


def outcome_file(folder: Path, number: int) -> Path:
    """Return where the outcomes of a pass lie in a corpus."""
    return folder / f"outcomes-{number}.arrow"


def write_outcomes(path: Path, outcomes: Sequence[Outcome], key: str) -> None:
    """Write outcomes in any order, for `merge_outcomes`."""
    rows = [
        (
            one.digest,
            *((None,) * 4 if one.finding is None else _flat(*one.finding)),
            _packed(one.changes),
            one.text,
            one.words,
            one.levelled,
            one.lines,
            one.paragraphs,
            None if one.stated is None else _packed_stated(one.stated),
        )
        for one in outcomes
    ]
    columns: list[Any] = list(zip(*rows, strict=True)) if rows else [()] * len(OUTCOMES)
    arrays = [pa.array(values, kind.type) for values, kind in zip(columns, OUTCOMES, strict=True)]
    _write(path, pa.table(arrays, schema=OUTCOMES), key)


def merge_outcomes(parts: Sequence[Path], path: Path, key: str) -> None:
    """Write the outcomes of all tasks to one file, by digest, each text once."""
    tables = []
    for part in parts:
        with ipc.open_file(part) as file:
            tables.append(file.read_all())
    table = pa.concat_tables(tables).combine_chunks()
    keys = _keys(table)
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    keys = keys[order]
    order = order[np.r_[True, (keys[1:] != keys[:-1]).any(axis=1)][: len(order)]]
    _write(path, table.take(pa.array(order)).combine_chunks(), key)


def _write(path: Path, table: pa.Table, key: str) -> None:
    table = table.replace_schema_metadata({KEY: key})
    beside = path.with_name(f".{path.name}")
    with ipc.new_file(beside, table.schema, options=ipc.IpcWriteOptions(compression="zstd")) as file:
        file.write_table(table)
    beside.replace(path)


def _keys(table: pa.Table) -> npt.NDArray[np.uint64]:
    digests = b"".join(table["digest"].to_pylist())
    return np.frombuffer(digests, np.uint64).reshape(-1, 2)


class Outcomes:
    """The outcomes of one pass of an earlier corpus."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self._keys = _keys(table)

    def find(self, digests: Sequence[bytes]) -> list[Outcome | None]:
        """Return what was made of each of some texts; None where it was not seen."""
        wanted = np.frombuffer(b"".join(digests), np.uint64).reshape(-1, 2)
        if not len(self._keys) or not len(wanted):
            return [None] * len(digests)
        places = np.minimum(np.searchsorted(self._keys[:, 0], wanted[:, 0]), len(self._keys) - 1)
        there = (self._keys[places] == wanted).all(axis=1)
        rows = iter(self._table.take(pa.array(places[there])).to_pylist())
        return [_outcome(next(rows)) if one else None for one in there.tolist()]


@functools.lru_cache(maxsize=1)
def outcomes_of(path: Path, key: str) -> Outcomes | None:
    """Return the outcomes in a file, which stay open in this process; None where there are none under this key."""
    try:
        with pa.memory_map(str(path)) as mapped, ipc.open_file(mapped) as file:
            table = file.read_all().combine_chunks()
            return Outcomes(table) if (table.schema.metadata or {}).get(KEY) == key.encode() else None
    except (OSError, pa.ArrowException):
        return None


def _flat(step: str, finding: Finding) -> tuple[str, str, str, float]:
    return step, finding.reason, finding.detail, finding.score


def _packed(changes: Sequence[Change]) -> str | None:
    return json.dumps([[one.step, one.detail, one.score] for one in changes]) if changes else None


def _packed_stated(stated: Stated) -> str:
    days = (None if day is None else day.isoformat() for day in (stated.reviewed, stated.dated))
    return json.dumps([*days, stated.version])


def _stated(packed: str) -> Stated:
    *days, version = json.loads(packed)
    reviewed, dated = (None if day is None else date.fromisoformat(day) for day in days)
    return Stated(reviewed, dated, tuple(version))


def _outcome(row: dict[str, Any]) -> Outcome:
    finding = None
    if row["step"] is not None:
        finding = row["step"], Finding(row["reason"], row["detail"], row["score"])
    changes = [Change(*values) for values in json.loads(row["changes"])] if row["changes"] else []
    return Outcome(
        row["digest"],
        finding,
        changes,
        row["text"],
        row["words"],
        row["levelled"],
        row["lines"],
        None if row["paragraphs"] is None else np.array(row["paragraphs"], np.uint64),
        None if row["stated"] is None else _stated(row["stated"]),
    )
