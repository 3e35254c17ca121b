"""Prometheus: a text file of the newest values, for node_exporter's textfile collector or any file server.

The format is Prometheus' text exposition format 0.0.4: `name{label="value"} number`, a `# TYPE` line before it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from forge.errors import SpecError
from forge.files import replace_text
from forge.run.tracking.tracker import Destinations, Tracked

WRITE_EVERY_S = 1.0


class PrometheusTracker:
    """Keeps the newest value of each curve, and writes all of them beside and renames."""

    def __init__(self, tracked: Tracked, file: Path) -> None:
        self._file = file
        self._labels = f'{{run="{tracked.name}",plan="{tracked.plan_id}"}}'
        self._values: dict[str, float] = {}
        self._written_s = 0.0

    def log(self, step: int, time_s: float, values: Mapping[str, float]) -> None:
        """Take in the values of a step."""
        self._values |= {"step": float(step), "updated_time_seconds": time_s, **values}
        if time.monotonic() - self._written_s >= WRITE_EVERY_S:
            self._write()

    def flush(self) -> None:
        """Do nothing: of values that are replaced within a second only the last is worth a file."""

    def close(self, finished: bool) -> None:
        """Write the last values."""
        self._values["finished"] = float(finished)
        self._write()

    def _write(self) -> None:
        lines = []
        for name, value in sorted(self._values.items()):
            lines += [f"# TYPE forge_{name} gauge", f"forge_{name}{self._labels} {value!r}"]
        replace_text(self._file, "\n".join(lines) + "\n")
        self._written_s = time.monotonic()


def open_tracker(tracked: Tracked, destinations: Destinations) -> PrometheusTracker:
    """Return the tracker of a run.

    Raises:
        SpecError: the folder of the file is not there.
    """
    file = destinations.prometheus_file or tracked.folder.parents[1] / "metrics.prom"
    if not file.parent.is_dir():
        raise SpecError(f"command line: --prometheus-file: {file.parent}: is no folder: make it first")
    return PrometheusTracker(tracked, file)
