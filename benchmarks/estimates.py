"""Score forge's estimates against published, measured runs.

    python -m benchmarks.estimates [--rows FILE.csv] [--fits FILE.csv] [--json]

`--rows` scores tokens/s of any file with the columns of rows.py; sources that the constants of forge were fitted to
are scored in-sample and with the source left out of the fit. `--fits` only says whether each layout fits its hardware.
Sources count the same, whatever their number of rows. A row that can't be used is listed with the reason.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.fits import needed_bytes
from benchmarks.peers import available_peers
from benchmarks.predict import tokens_per_s_per_gpu
from benchmarks.rows import Row, Unusable, read_rows
from benchmarks.score import Scored, abs_error_quantile, score_rows, source_table
from forge.plan.hardware import GIB

ROOT = Path(__file__).resolve().parents[1]
LEAVE_ONE_OUT_FILE = ROOT / "benchmarks" / "leave_one_out.json"
NO_RATE = "no measured tokens/s"
WORST_ROWS = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks/estimates.py", description="Score forge's estimates.")
    parser.add_argument("--rows", type=Path, metavar="FILE.csv", help="score tokens/s of these rows")
    parser.add_argument("--fits", type=Path, metavar="FILE.csv", help="say whether each row's layout fits")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args(arguments)
    report: dict[str, Any] = {}
    if not (options.rows or options.fits):
        print("--rows: is missing: name a CSV file of measured runs with --rows or --fits", file=sys.stderr)
        return 2
    for file in (options.rows, options.fits):
        if file is not None and not file.is_file():
            print(f"{file}: no such file: name a CSV file with --rows or --fits", file=sys.stderr)
            return 2
    try:
        if options.fits:
            report |= fit_report(options.fits)
        if options.rows:
            report |= rate_report(options.rows, leave_one_out=True)
    except UnicodeDecodeError as error:
        print(f"--rows/--fits: not UTF-8 text ({error.reason}): give a CSV file", file=sys.stderr)
        return 2
    print(json.dumps(report, indent=1) if options.json else render(report))
    return 0


def rate_report(path: Path, leave_one_out: bool) -> dict[str, Any]:
    """Score tokens/s of a file's rows: by the constants forge ships, by those fitted without the source, by peers."""
    rows, unusable = read_rows(path)
    unusable += [Unusable(row.line, row.source, NO_RATE) for row in rows if row.tokens_per_s_per_gpu is None]
    scored = score_rows(rows, tokens_per_s_per_gpu)
    report: dict[str, Any] = {"file": path.name, **_summary(scored), "unusable": _listing(unusable)}
    if leave_one_out and LEAVE_ONE_OUT_FILE.is_file():
        left_out = json.loads(LEAVE_ONE_OUT_FILE.read_text(encoding="utf-8"))["constants"]
        known = [row for row in rows if row.source in left_out]
        if known:
            report["leave_one_source_out"] = _summary(
                score_rows(known, lambda row: tokens_per_s_per_gpu(row, left_out[row.source]))
            )
    peers, missing = available_peers()
    report["peers"] = {name: _peer_summary(rows, predict) for name, predict in peers.items()}
    report["peers_not_run"] = missing
    return report


def fit_report(path: Path) -> dict[str, Any]:
    """Say of each row whether its layout fits its hardware, by forge's memory estimate.

    A row that can't be read into a layout is not approved.
    """
    rows, unusable = read_rows(path)
    answers = []
    for row in rows:
        needed, available = needed_bytes(row), row.hardware.device_memory_bytes
        answers.append(
            {
                "line": row.line,
                "source": row.source,
                "row": row.label,
                "needed_bytes": needed,
                "available_bytes": available,
                "fits": needed <= available,
            }
        )
    return {
        "file": path.name,
        "rows": len(answers),
        "approved": sum(1 for answer in answers if answer["fits"]),
        "answers": answers,
        "unusable": _listing(unusable),
    }


def _summary(scored: Sequence[Scored]) -> dict[str, Any]:
    if not scored:
        return {"rows": 0, "median_abs_error": None, "p90_abs_error": None, "sources": []}
    worst = sorted(scored, key=lambda item: -abs(item.error))[:WORST_ROWS]
    return {
        "rows": len(scored),
        "median_abs_error": abs_error_quantile(scored, 0.5),
        "p90_abs_error": abs_error_quantile(scored, 0.9),
        "sources": [
            {
                "source": line.source,
                "rows": line.rows,
                "median_abs_error": line.median_abs_error,
                "p90_abs_error": line.p90_abs_error,
                "worst": _row_line(line.worst),
            }
            for line in source_table(scored)
        ],
        "worst_rows": [_row_line(item) for item in worst],
    }


def _row_line(item: Scored) -> dict[str, Any]:
    return {
        "line": item.row.line,
        "source": item.row.source,
        "row": item.row.label,
        "measured_tokens_per_s_per_gpu": item.measured,
        "predicted_tokens_per_s_per_gpu": round(item.predicted, 2),
        "error": round(item.error, 4),
    }


def _peer_summary(rows: Sequence[Row], predict: Callable[[Row], float]) -> dict[str, Any]:
    """Score a peer on the rows it accepts, and count those it refuses."""
    scored: list[Scored] = []
    refused: Counter[str] = Counter()
    for row in rows:
        try:
            scored += score_rows([row], predict)
        except ValueError as error:
            refused[str(error)] += 1
    summary = _summary(scored)
    summary.pop("worst_rows", None)
    return {**summary, "refused": dict(refused)}


def _listing(unusable: Sequence[Unusable]) -> dict[str, Any]:
    return {
        "rows": len(unusable),
        "reasons": dict(Counter(row.reason for row in unusable).most_common()),
        "listed": [{"line": row.line, "source": row.source, "reason": row.reason} for row in unusable],
    }


def render(report: dict[str, Any]) -> str:
    """Return the report as text."""
    lines = [f"{report['file']}: {report['rows']} rows used, {report['unusable']['rows']} not"]
    if "approved" in report:
        lines += ["", f"fits: {report['approved']} of {report['rows']}"]
        lines += [_fit_line(answer) for answer in report["answers"]]
    if "median_abs_error" in report:
        lines += ["", "tokens/s, absolute error; sources weighted equally", *_table(report)]
        if "leave_one_source_out" in report:
            lines += ["", "constants fitted without the source", *_table(report["leave_one_source_out"])]
        lines += ["", "the same rows by what users would take instead"]
        for name, peer in report["peers"].items():
            lines.append(
                f"  {name:<24} rows {peer['rows']:>5}  median {_percent(peer['median_abs_error'])}"
                f"  p90 {_percent(peer['p90_abs_error'])}"
            )
            lines += [f"    refused {count}: {reason}" for reason, count in peer["refused"].items()]
        lines += [f"  not run: {line}" for line in report["peers_not_run"]]
        lines += ["", "worst rows"]
        lines += [
            f"  line {row['line']:<5} {row['source']:<18}{row['error']:+8.1%}  {row['row']}"
            for row in report.get("worst_rows", [])
        ]
    lines += ["", f"not used: {report['unusable']['rows']}"]
    lines += [
        f"  line {row['line']:<5} {row['source']:<18} {row['reason']}" for row in report["unusable"]["listed"]
    ]
    return "\n".join(lines)


def _fit_line(answer: dict[str, Any]) -> str:
    verdict = "fits" if answer["fits"] else "DOES NOT FIT"
    needed, available = answer["needed_bytes"] / GIB, answer["available_bytes"] / GIB
    return (
        f"  line {answer['line']:<5} {answer['source']:<18} {verdict:<13}{needed:8.1f} of {available:6.1f} GiB"
        f"  {answer['row']}"
    )


def _table(summary: dict[str, Any]) -> list[str]:
    lines = [f"  {'source':<18}{'rows':>6}{'median':>9}{'p90':>9}  worst row"]
    for line in summary["sources"]:
        worst = line["worst"]
        lines.append(
            f"  {line['source']:<18}{line['rows']:>6}{_percent(line['median_abs_error']):>9}"
            f"{_percent(line['p90_abs_error']):>9}  {worst['error']:+.1%} line {worst['line']} {worst['row']}"
        )
    lines.append(
        f"  {'all':<18}{summary['rows']:>6}{_percent(summary['median_abs_error']):>9}"
        f"{_percent(summary['p90_abs_error']):>9}"
    )
    return lines


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


if __name__ == "__main__":
    sys.exit(main())
