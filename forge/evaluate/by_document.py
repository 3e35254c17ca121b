"""The held-out loss document by document, for comparing runs, and by source."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from forge.evaluate.held_out import HeldOut
from forge.files import replace_text

HELD_OUT = "held_out.jsonl"


def write_losses(
    out: Path, held_out: HeldOut, sources: Mapping[str, str], nats: Sequence[float]
) -> dict[str, dict[str, Any]]:
    """Write `out`/held_out.jsonl, a line a document, and return the figures of each source.

    Args:
        out: a folder.
        held_out: the measured documents.
        sources: of each document, by its id.
        nats: loss of each, in the order of `held_out`.
    """
    rows: list[dict[str, Any]] = [
        {"document_id": identifier, "source": sources[identifier], "bytes": size, "nats": loss}
        for identifier, size, loss in zip(held_out.document_ids, held_out.document_bytes, nats, strict=True)
    ]
    replace_text(out / HELD_OUT, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return {
        source: by_source([row for row in rows if row["source"] == source])
        for source in dict.fromkeys(row["source"] for row in rows)
    }


def by_source(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures of some rows of held_out.jsonl; bits per byte is None where they have no byte."""
    size = sum(row["bytes"] for row in rows)
    bits = sum(row["nats"] for row in rows) / math.log(2)
    return {"documents": len(rows), "bytes": size, "bits_per_byte": bits / size if size else None}
