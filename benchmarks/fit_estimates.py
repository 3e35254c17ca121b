"""Fit the constants of `forge.plan.efficiency` to published runs, whole and with each source left out.

    python -m benchmarks.fit_estimates FILE.csv

Writes `forge/plan/fitted.py` and `benchmarks/leave_one_out.json`. The fit minimises the sum over sources of the mean
absolute log error of tokens/s, plus a price for leaving what was expected: a constant that moves by its spread
costs `PRICE`. Coordinate descent within the bounds of each constant; no source weighs more than another.

Leaving a source out shows how the fitted values carry over to it. It does not show more than that: the expected
values, `PRICE` and the structure of the model were chosen by people who had seen all of these rows.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.predict import tokens_per_s_per_gpu
from benchmarks.rows import Row, read_rows
from benchmarks.score import abs_error_quantile, score_rows
from forge.plan.efficiency import FITTED

ROOT = Path(__file__).resolve().parents[1]
FITTED_FILE = ROOT / "forge" / "plan" / "fitted.py"
LEAVE_ONE_OUT_FILE = ROOT / "benchmarks" / "leave_one_out.json"

PRICE = 0.08
"""Of moving a constant by its spread, in units of one source's mean absolute log error."""

NOISE = 0.1
"""Log error beyond which a row pulls less: the same run on other days, or with other versions, differs by as much."""

FIRST_STEP, LAST_STEP = 0.5, 0.06
"""Of the descent, in spreads."""


class _Loss:
    """The loss over rows, updated only for the rows that a constant touches."""

    def __init__(self, rows: Sequence[Row], values: dict[str, float]) -> None:
        counts: dict[str, int] = defaultdict(int)
        for row in rows:
            counts[row.source] += 1
        self._rows = rows
        self._weights = [1 / counts[row.source] for row in rows]
        self.values = dict(values)
        self._errors = [self._error(row, self.values) for row in rows]
        self._touched = {name: self._rows_touched(name) for name in FITTED}

    def _error(self, row: Row, values: dict[str, float]) -> float:
        assert row.tokens_per_s_per_gpu is not None
        error = abs(math.log(tokens_per_s_per_gpu(row, values) / row.tokens_per_s_per_gpu))
        return NOISE * math.log1p(error / NOISE)

    def _rows_touched(self, name: str) -> list[int]:
        """Return the rows whose prediction changes anywhere in the bounds."""
        low = {**self.values, name: FITTED[name].low}
        high = {**self.values, name: FITTED[name].high}
        return [
            index
            for index, row in enumerate(self._rows)
            if tokens_per_s_per_gpu(row, low) != tokens_per_s_per_gpu(row, high)
        ]

    def active(self) -> list[str]:
        """Return the constants that any row depends on."""
        return [name for name, rows in self._touched.items() if rows]

    def try_value(self, name: str, value: float) -> bool:
        """Move a constant if that lowers the loss; say whether it was moved."""
        candidate = {**self.values, name: value}
        gain = _price(name, self.values[name]) - _price(name, value)
        found = {}
        for index in self._touched[name]:
            found[index] = self._error(self._rows[index], candidate)
            gain += self._weights[index] * (self._errors[index] - found[index])
        if gain <= 1e-9:
            return False
        self.values = candidate
        for index, error in found.items():
            self._errors[index] = error
        return True

    def total(self) -> float:
        """Return the loss."""
        errors = sum(weight * error for weight, error in zip(self._weights, self._errors, strict=True))
        return errors + sum(_price(name, value) for name, value in self.values.items())


def _price(name: str, value: float) -> float:
    constant = FITTED[name]
    return float(PRICE * (math.log(value / constant.expected) / constant.spread) ** 2)


def fit(rows: Sequence[Row], start: dict[str, float] | None = None) -> dict[str, float]:
    """Return the constants that fit rows best; constants no row depends on keep what is expected."""
    expected = {name: constant.expected for name, constant in FITTED.items()}
    loss = _Loss([row for row in rows if row.tokens_per_s_per_gpu], {**expected, **(start or {})})
    active = loss.active()
    for name in set(FITTED) - set(active):
        loss.values[name] = FITTED[name].expected
    step = FIRST_STEP
    while step >= LAST_STEP:
        moved = False
        for name in active:
            constant = FITTED[name]
            for direction in (1, -1):
                value = loss.values[name] * math.exp(direction * step * constant.spread)
                value = min(max(value, constant.low), constant.high)
                if value != loss.values[name] and loss.try_value(name, value):
                    moved = True
                    break
        if not moved:
            step /= 2
    return {name: round(value, 9) for name, value in loss.values.items()}


def main(arguments: list[str]) -> int:
    """Fit, and write both files."""
    path = Path(arguments[0]) if arguments else None
    if path is None or not path.is_file():
        what = "FILE.csv: is missing" if path is None else f"{path}: no such file"
        print(f"{what}: name a CSV file of measured runs", file=sys.stderr)
        return 2
    rows, _ = read_rows(path)
    measured = [row for row in rows if row.tokens_per_s_per_gpu]
    started = time.monotonic()
    values = fit(measured)
    print(f"all sources: {time.monotonic() - started:.0f} s", flush=True)
    left_out = {}
    for source in dict.fromkeys(row.source for row in measured):
        left_out[source] = fit([row for row in measured if row.source != source])
        print(f"without {source}: {time.monotonic() - started:.0f} s", flush=True)
    write_values(values, path.name)
    scored = score_rows(measured, lambda row: tokens_per_s_per_gpu(row, left_out[row.source]))
    errors = {
        "median_abs_error": abs_error_quantile(scored, 0.5),
        "p90_abs_error": abs_error_quantile(scored, 0.9),
    }
    report = {**errors, "rows": len(scored), "constants": left_out}
    LEAVE_ONE_OUT_FILE.write_text(json.dumps(report, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return 0


def write_values(values: dict[str, float], rows_name: str) -> None:
    """Write the module that ships with forge."""
    today = datetime.now(UTC).date().isoformat()
    lines = "".join(f'    "{name}": {value:.6g},\n' for name, value in values.items())
    FITTED_FILE.write_text(
        '"""Values of the fitted constants of `forge.plan.efficiency`; not to be edited by hand.\n\n'
        f"Written on {today} by `python -m benchmarks.fit_estimates {rows_name}`.\n"
        '"""\n\n'
        f"VALUES: dict[str, float] = {{\n{lines}}}\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
