"""What a corpus remembers for the next one of each text: what the steps on one document made of it.

    outcomes-<pass>.arrow   by the hash of a text before the steps of a pass: why it was set aside, or what was changed,
                            the text where it is another one, and what is counted of it

The key in the file is of the code, the steps and their limits. A text that was seen under the same key is not repaired,
judged, redacted or counted again: its row is copied, and no object is made of it.
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

from forge.data.columns import DIGEST, digest_keys, lists_column
from forge.data.draft import Change, Finding
from forge.data.statements import Stated
from forge.data.word_codes import Uint64

Ints = npt.NDArray[np.int64]

REMEMBERED_STEPS = frozenset({"repair", "quality", "languages", "redact"})
"""What they make of a document hangs on its text alone."""
REMEMBERED_NOTES = frozenset({"exact", "words", "lines", "paragraphs", "versions"})
"""What is counted of a text that passed the steps; its shingles are remembered in `forge.data.signatures`."""
KEY = b"forge_key"
MERGED_BYTES = 64 * 1024 * 1024
"""Of outcomes that are put in order at once."""
OUTCOMES = pa.schema(
    [
        pa.field("digest", DIGEST),
        pa.field("step", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("changes", pa.string()),
        pa.field("changed", pa.large_string()),
        pa.field("words", pa.int64()),
        pa.field("levelled", pa.binary(32)),
        pa.field("lines", pa.large_list(pa.uint64())),
        pa.field("paragraphs", pa.large_list(pa.uint64())),
        pa.field("stated", pa.string()),
    ]
)


@dataclass(slots=True)
class Outcome:
    """What was made of a text. What nobody asked for is None."""

    digest: bytes | None
    """Of the text before."""
    finding: tuple[str, Finding] | None
    """Why it is set aside, after the step that says so."""
    changes: list[Change]
    changed: str | None
    """The text after the steps, where they changed it."""
    words: int | None = None
    levelled: bytes | None = None
    lines: Uint64 | None = None
    """Hashes of those at its edges, sorted."""
    paragraphs: Uint64 | None = None
    stated: Stated | None = None


def outcome_file(folder: Path, number: int) -> Path:
    """Return where the outcomes of a pass lie in a corpus."""
    return folder / f"outcomes-{number}.arrow"


def outcomes_table(outcomes: Sequence[Outcome]) -> pa.Table:
    """Return outcomes as rows of OUTCOMES."""
    findings = [(None,) * 4 if one.finding is None else _flat(*one.finding) for one in outcomes]
    columns: list[Any] = [
        [one.digest for one in outcomes],
        *([values[place] for values in findings] for place in range(4)),
        [_packed(one.changes) for one in outcomes],
        *([getattr(one, name) for one in outcomes] for name in ("changed", "words", "levelled")),
        *([getattr(one, name) for one in outcomes] for name in ("lines", "paragraphs")),
        [None if one.stated is None else _packed_stated(one.stated) for one in outcomes],
    ]
    arrays = [
        lists_column(values, kind) if pa.types.is_large_list(kind) else pa.array(values, kind)
        for values, kind in zip(columns, OUTCOMES.types, strict=True)
    ]
    return pa.table(arrays, schema=OUTCOMES)


def write_outcomes(path: Path, outcomes: pa.Table) -> None:
    """Write rows of OUTCOMES in any order, for `merge_outcomes`."""
    with ipc.new_file(path, OUTCOMES) as file:
        file.write_table(outcomes)


def merge_outcomes(parts: Sequence[Path], path: Path, key: str) -> None:
    """Write the outcomes of all tasks to one file, by digest, each text once: a range of digests at a time."""
    beside = path.with_name(f".{path.name}")
    schema = OUTCOMES.with_metadata({KEY: key})
    ranges = max(1, -(-sum(part.stat().st_size for part in parts) // MERGED_BYTES))
    with ipc.new_file(beside, schema, options=ipc.IpcWriteOptions(compression="zstd")) as file:
        for number in range(ranges):
            table = pa.concat_tables(_in_range(part, number, ranges) for part in parts)
            keys = digest_keys(table["digest"])
            order = np.lexsort((keys[:, 1], keys[:, 0]))
            keys = keys[order]
            order = order[np.r_[True, (keys[1:] != keys[:-1]).any(axis=1)][: len(order)]]
            file.write_table(table.take(pa.array(order)).combine_chunks().replace_schema_metadata({KEY: key}))
    beside.replace(path)


def _in_range(part: Path, number: int, ranges: int) -> pa.Table:
    """Return the outcomes in a file whose digests are in one of some equal ranges: copied, where others are not."""
    with pa.memory_map(str(part)) as mapped, ipc.open_file(mapped) as file:
        table = file.read_all()
        if ranges == 1:
            return table
        own = (digest_keys(table["digest"])[:, 0] >> np.uint64(32)) * np.uint64(ranges) >> np.uint64(32)
        return table.filter(pa.array(own == number))


class Outcomes:
    """The outcomes of one pass of an earlier corpus."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self._keys = digest_keys(table["digest"])

    def find(self, keys: Uint64) -> Ints:
        """Return for each of some texts, (n, 2), the place of what was made of it; -1 where it was not seen."""
        if not len(self._keys):
            return np.full(len(keys), -1, np.int64)
        places = np.minimum(np.searchsorted(self._keys[:, 0], keys[:, 0]), len(self._keys) - 1)
        return np.where((self._keys[places] == keys).all(axis=1), places, -1)

    def rows(self, places: Ints) -> pa.Table:
        """Return what was made of the texts at some places: rows of OUTCOMES."""
        return self._table.take(pa.array(places))


@functools.lru_cache(maxsize=1)
def outcomes_of(path: Path, key: str) -> Outcomes | None:
    """Return the outcomes in a file, which stay open in this process; None where there are none under this key."""
    try:
        with pa.memory_map(str(path)) as mapped, ipc.open_file(mapped) as file:
            if (file.schema.metadata or {}).get(KEY) != key.encode():
                return None
            return Outcomes(file.read_all().combine_chunks().replace_schema_metadata(None))
    except (OSError, pa.ArrowException):
        return None


def finding_rows(outcomes: pa.Table) -> list[tuple[str, str, str, float]]:
    """Return step, reason, detail and score of texts that were set aside."""
    columns = (outcomes[name].to_pylist() for name in ("step", "reason", "detail", "score"))
    return list(zip(*columns, strict=True))


def changes_of(packed: str) -> list[Change]:
    """Return what the column `changes` says."""
    return [Change(*values) for values in json.loads(packed)]


def stated_of(packed: str) -> Stated:
    """Return what the column `stated` says."""
    *days, version = json.loads(packed)
    reviewed, dated = (None if day is None else date.fromisoformat(day) for day in days)
    return Stated(reviewed, dated, tuple(version))


def _flat(step: str, finding: Finding) -> tuple[str, str, str, float]:
    return step, finding.reason, finding.detail, finding.score


def _packed(changes: Sequence[Change]) -> str | None:
    return json.dumps([[one.step, one.detail, one.score] for one in changes]) if changes else None


def _packed_stated(stated: Stated) -> str:
    days = (None if day is None else day.isoformat() for day in (stated.reviewed, stated.dated))
    return json.dumps([*days, stated.version])
