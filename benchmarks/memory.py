"""Memory: forge's formula against the real engine on fake tensors, and beside published measurements.

    python -m benchmarks.memory [--quick] [--json] [--published FILE.csv] [--only TEXT] [--processes N]

The table has one line a configuration: saved activations, states and peak by the oracle (`benchmarks.memory_oracle`),
and by how much the formula (`forge.plan.memory`) differs. Its result is kept in benchmarks/memory.md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.memory_configurations import CONFIGURATIONS, QUICK, Configuration
from benchmarks.memory_oracle import measure
from benchmarks.memory_published import Row, published_rows
from forge.plan.host_memory import offloaded_bytes
from forge.plan.memory import allocated_bytes, saved_bytes
from forge.plan.states import state_bytes

MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Line:
    """One configuration: what the oracle counted, and the formula's relative errors."""

    configuration: str
    saved_mib: float
    states_mib: float
    peak_mib: float
    peak_at: str
    """Forward or backward pass of the micro-batch, or the step."""
    saved_error: float
    states_error: float
    peak_error: float
    host_mib: float
    """Offloaded states of one process; 0 where nothing is offloaded."""
    host_error: float
    oracle_s: float


def compare(configuration: Configuration) -> Line:
    """Measure one configuration and predict it. Once a process."""
    model, layout = configuration.model_plan(), configuration.layout
    world, length = configuration.world_size, configuration.sequence_length
    tokens = layout.micro_batch_sequences * length
    real = measure(model, layout, world, length)
    saved = saved_bytes(model, layout, length)
    states = state_bytes(model, layout, world)
    peak = allocated_bytes(model, layout, world, length, tokens)
    return Line(
        str(configuration),
        real.saved_bytes / MIB,
        real.states_bytes / MIB,
        real.peak_bytes / MIB,
        real.peak_phase.partition(" ")[2],
        saved / real.saved_bytes - 1,
        states / real.states_bytes - 1,
        peak / real.peak_bytes - 1,
        real.host_bytes / MIB,
        offloaded_bytes(model, layout, world)[0] / real.host_bytes - 1 if real.host_bytes else 0.0,
        real.seconds,
    )


def compare_all(configurations: list[Configuration], processes: int) -> Iterator[Line]:
    """Yield a line for each configuration, in their order; each is measured in a process of its own."""
    # Forked, so that torch and DeepSpeed are imported once; replaced after one task, because the oracle patches them.
    with multiprocessing.get_context("fork").Pool(processes, maxtasksperchild=1) as pool:
        for done, line in enumerate(pool.imap(compare, configurations), 1):
            print(f"{done}/{len(configurations)} {line.configuration}", file=sys.stderr)
            yield line


def summary(lines: list[Line]) -> dict[str, Any]:
    """Return the figures the table is judged by: absolute relative errors as fractions."""
    result: dict[str, Any] = {"configurations": len(lines)}
    for what in ("saved", "states", "peak"):
        errors = {line.configuration: abs(getattr(line, f"{what}_error")) for line in lines}
        worst = max(errors, key=lambda name: errors[name])
        result[what] = {
            "median_abs_error": statistics.median(errors.values()),
            "worst_abs_error": errors[worst],
            "worst_configuration": worst,
        }
    return result


def table(lines: list[Line]) -> str:
    """Return the lines and their summary as Markdown."""
    rows = [
        "| configuration | saved MiB | error | states MiB | error | peak MiB | at | error |",
        "|---|---:|---:|---:|---:|---:|---|---:|",
    ]
    rows += [
        f"| {line.configuration} | {line.saved_mib:,.1f} | {line.saved_error:+.2%} | {line.states_mib:,.1f} | "
        f"{line.states_error:+.2%} | {line.peak_mib:,.1f} | {line.peak_at} | {line.peak_error:+.2%} |"
        for line in lines
    ]
    rows.append("")
    for what, figures in summary(lines).items():
        if isinstance(figures, dict):
            rows.append(
                f"{what}: median error {figures['median_abs_error']:.2%}, worst {figures['worst_abs_error']:.2%} "
                f"({figures['worst_configuration']})  "
            )
    rows.append(f"{len(lines)} configurations")
    offloaded = [line for line in lines if line.host_mib]
    if offloaded:
        rows += ["", "| offloaded, a process | host MiB | error |", "|---|---:|---:|"]
        rows += [
            f"| {line.configuration} | {line.host_mib:,.1f} | {line.host_error:+.2%} |" for line in offloaded
        ]
    return "\n".join(rows)


def published_table(rows: list[Row]) -> str:
    """Return published rows by source, predicted beside measured, the unusable ones counted by reason."""
    text = ["| source | what | measured GiB | predicted GiB | difference |", "|---|---|---:|---:|---:|"]
    text += [
        f"| {row.source} | {row.what} | {row.measured_gib:.1f} | {row.predicted_gib:.1f} | "
        f"{row.predicted_gib / row.measured_gib - 1:+.0%} |"
        for row in rows
        if row.predicted_gib is not None
    ]
    reasons: dict[tuple[str, str], int] = {}
    for row in rows:
        if row.reason:
            reasons[row.source, row.reason] = reasons.get((row.source, row.reason), 0) + 1
    text += ["", f"{sum(reasons.values())} of {len(rows)} rows can't be predicted:", ""]
    text += [f"- {source}: {count}, {reason}" for (source, reason), count in sorted(reasons.items())]
    return "\n".join(text)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help=f"{len(QUICK)} configurations only")
    parser.add_argument("--only", default="", help="configurations whose line has this text")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--published", type=Path, metavar="FILE.csv", help="published rows to compare with")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    if options.published is not None and not options.published.is_file():
        parser.error(f"{options.published}: no such file: name a CSV file of published rows")
    chosen = QUICK if options.quick else [c for c in CONFIGURATIONS if options.only in str(c)]
    lines = list(compare_all(chosen, options.processes))
    published = published_rows(options.published) if options.published else []
    if options.json:
        content = {
            **summary(lines),
            "lines": [asdict(line) for line in lines],
            "published": [asdict(row) for row in published],
        }
        print(json.dumps(content, indent=2))
        return
    print(table(lines))
    if published:
        print("\n## Published\n")
        print(published_table(published))


if __name__ == "__main__":
    main()
