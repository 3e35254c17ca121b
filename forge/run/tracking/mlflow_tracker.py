"""MLflow: a run of an experiment called as the run is, in a local folder unless an address is named."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

# What MLflow would tell its makers of its use is not told; and it refuses its own file store without a word for it.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from forge.files import replace_text
from forge.run.tracking.tracker import Destinations, Tracked

LONGEST_VALUE = 500
"""MLflow's own limit on the characters of a parameter is 6,000; a table wants less."""

MOST_AT_ONCE = 100


class MlflowTracker:
    """One MLflow run, which is found again by the id that is kept beside it."""

    def __init__(self, tracked: Tracked, uri: str) -> None:
        self._client = MlflowClient(uri)
        self._id = self._run_of(tracked)
        self._client.update_run(self._id, status="RUNNING")
        self._held: list[Metric] = []

    def _run_of(self, tracked: Tracked) -> str:
        known = tracked.folder / "run_id"
        if known.is_file():
            return known.read_text().strip()
        experiment = self._client.get_experiment_by_name(tracked.name)
        experiment_id = (
            self._client.create_experiment(tracked.name) if experiment is None else experiment.experiment_id
        )
        run = self._client.create_run(experiment_id, run_name=f"{tracked.name}-{tracked.plan_id}")
        settings = list(tracked.settings.items())
        for first in range(0, len(settings), MOST_AT_ONCE):
            part = settings[first : first + MOST_AT_ONCE]
            self._client.log_batch(
                run.info.run_id, params=[Param(key, str(value)[:LONGEST_VALUE]) for key, value in part]
            )
        self._client.log_batch(run.info.run_id, tags=[RunTag("plan", tracked.plan_id)])
        replace_text(known, f"{run.info.run_id}\n")
        return str(run.info.run_id)

    def log(self, step: int, time_s: float, values: Mapping[str, float]) -> None:
        """Add the values of a step."""
        self._held += [Metric(name, value, int(time_s * 1000), step) for name, value in values.items()]
        if len(self._held) >= MOST_AT_ONCE:
            self.flush()

    def close(self, finished: bool) -> None:
        """Write how the run stands."""
        self._client.set_terminated(self._id, "FINISHED" if finished else "KILLED")

    def flush(self) -> None:
        """Write what is held back."""
        for first in range(0, len(self._held), MOST_AT_ONCE):
            self._client.log_batch(self._id, metrics=self._held[first : first + MOST_AT_ONCE])
        self._held = []


def open_tracker(tracked: Tracked, destinations: Destinations) -> MlflowTracker:
    """Return the tracker of a run."""
    uri = destinations.mlflow_uri
    if uri is None:
        # runs/NAME/tracking/mlflow -> beside runs/
        uri = (tracked.folder.resolve().parents[3] / "mlruns").as_uri()
    elif "://" not in uri:
        uri = Path(uri).expanduser().resolve().as_uri()
    return MlflowTracker(tracked, uri)
