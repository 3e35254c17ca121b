"""The trackers that a run was asked to tell, each by a process beside it: a slow one slows nothing, and one that is
down ends nothing.

`python -m forge.run.tracking.beside` follows a run to its end, as `forge track` does, and outlives it till all is told.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from forge.errors import SpecError
from forge.files import replace_text
from forge.run.tracking.tracker import TRACKERS, TRACKING, Destinations, find_tracker

SETTINGS = "settings.json"
"""In a run's folder `tracking`: group `track` of the spec that carries it out."""
PATIENCE_S = 20.0
"""That the end of a run waits for what trackers have still to be told."""
NICENESS = 10


def check_trackers(track: Mapping[str, Any]) -> None:
    """Refuse trackers that cannot be told anything here. Nothing of theirs is imported.

    Args:
        track: group `track` of a spec.

    Raises:
        SpecError: a package is missing, or the folder of Prometheus' file.
    """
    lines = []
    for name in track["to"]:
        _, needs, extra = TRACKERS[name]
        if needs is not None and importlib.util.find_spec(needs) is None:
            lines.append(f"track.to: {name} is not installed: pip install '{extra}', or leave it out")
    file = track["prometheus_file"]
    if "prometheus" in track["to"] and file is not None and not Path(file).expanduser().parent.is_dir():
        lines.append(f"track.prometheus_file: {Path(file).expanduser().parent}: is no folder: make it first")
    if lines:
        raise SpecError(*lines)


def record_tracking(run_dir: Path, track: Mapping[str, Any]) -> None:
    """Keep who is to be told of a run, for whoever carries it out. A disk that refuses is the run's to speak of."""
    file = run_dir / TRACKING / SETTINGS
    with contextlib.suppress(OSError):
        if track["to"]:
            file.parent.mkdir(parents=True, exist_ok=True)
            replace_text(file, json.dumps(dict(track), indent=2, ensure_ascii=False) + "\n")
        else:
            file.unlink(missing_ok=True)


class Beside:
    """The processes that tell trackers of a run. They hold on to nothing of it and end when its lock is free."""

    def __init__(self, run_dir: Path, say: Callable[[str], None]) -> None:
        self._run_dir, self._say = run_dir, say
        self._watched: dict[str, threading.Thread] = {}

    def start(self) -> None:
        """Start them, once the run's lock is held and its plan is written."""
        try:
            settings = json.loads((self._run_dir / TRACKING / SETTINGS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return
        for name in settings["to"]:
            with self._log(name).open("ab") as file:
                process = subprocess.Popen(
                    [sys.executable, "-m", __name__, "--run", str(self._run_dir), "--to", name],
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    start_new_session=True,  # Ctrl-C ends the run, and of that they tell
                )
            thread = threading.Thread(target=self._watch, args=(name, process), daemon=True)
            thread.start()
            self._watched[name] = thread

    def end(self) -> None:
        """Wait a while for what they have still to tell; they go on by themselves."""
        give_up_s = time.monotonic() + PATIENCE_S
        for name, thread in self._watched.items():
            thread.join(max(give_up_s - time.monotonic(), 0))
            if thread.is_alive():
                self._say(f"track: {name}: is slow, and is still being told: see {self._log(name)}")

    def _log(self, name: str) -> Path:
        return self._run_dir / "logs" / f"track-{name}.log"

    def _watch(self, name: str, process: subprocess.Popen[bytes]) -> None:
        if process.wait() != 0:
            log = self._log(name)
            said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            self._say(
                f"track: {name}: {said[-1] if said else 'ended without a word'}: see {log}; the run goes on, "
                f"`forge track {self._run_dir} --to {name}` adds what is missing"
            )


def main() -> int:
    """Follow a run for one tracker; what goes wrong is the last line of standard error."""
    parser = argparse.ArgumentParser(prog=f"python -m {__name__}", description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--to", required=True, help="name of the tracker")
    arguments = parser.parse_args()
    os.nice(NICENESS)
    # Else it tries for minutes, and says nothing.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    from forge.run.tracking.follow import follow_plan

    try:
        settings = json.loads((arguments.run / TRACKING / SETTINGS).read_text(encoding="utf-8"))
        destinations = destinations_of(settings)
        follow_plan(arguments.run, arguments.to, find_tracker(arguments.to), destinations)
    except Exception as error:
        print(next(iter(str(error).splitlines()), type(error).__name__), file=sys.stderr)
        return 1
    return 0


def destinations_of(track: Mapping[str, Any]) -> Destinations:
    """Return where trackers write, as group `track` of a spec says."""
    file = track["prometheus_file"]
    return Destinations(
        track["mlflow_uri"], track["wandb_online"], None if file is None else Path(file).expanduser()
    )


if __name__ == "__main__":
    sys.exit(main())
