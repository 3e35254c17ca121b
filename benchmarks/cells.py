"""Numbers in the cells of published measurements."""

from __future__ import annotations

import math
import re

LARGEST = {
    "layers": 1_000,
    "hidden": 200_000,
    "heads": 2_000,
    "kv_heads": 2_000,
    "ffn": 1_000_000,
    "vocab": 10_000_000,
    "moe_experts": 10_000,
    "moe_topk": 1_000,
    "seq_len": 100_000_000,
    "n_gpus": 1_000_000,
    "gpus_per_node": 1_000_000,
    "micro_batch_per_gpu": 1_000_000,
    "grad_accum": 1_000_000,
    "global_batch_seqs": 1_000_000_000,
}
"""Some ten times what has been trained: a cell above it is a slip."""


class UnusableRowError(Exception):
    """Carries the reason why a row is unusable."""


def number_after(text: str, word: str) -> int | None:
    """Return the number that follows a short word (`cp4`, `tp=2`) in a description."""
    match = re.search(rf"(?<![a-z]){word}\s*=?\s*(\d+)|(?<=\d){word}(\d+)", text)
    return int(match.group(1) or match.group(2)) if match else None


def number(text: str) -> float | None:
    """Return the number a cell begins with (`8192 (packed)`); None where there is none, finite and positive."""
    words = text.replace(",", "").split()
    try:
        value = float(words[0]) if words else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def count(text: dict[str, str], column: str, default: int | None = None) -> int:
    """Return a cell that counts something.

    Raises:
        UnusableRowError: it is blank or no number, and there is no default.
    """
    value = number(text.get(column, ""))
    if value is None:
        if default is not None:
            return default
        raise UnusableRowError(f"{column} {'is not a number' if text.get(column) else 'blank'}")
    return max(round(value), 1)


def refuse_slips(text: dict[str, str]) -> None:
    """Raise `UnusableRowError` if a cell is larger than anything that has been trained."""
    for column, largest in LARGEST.items():
        if (number(text.get(column, "")) or 0) > largest:
            raise UnusableRowError(f"{column} {text[column]}: above {largest}, more than any run has had")
