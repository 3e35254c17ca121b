"""How a run's stages went on its page, and why one failed."""

from __future__ import annotations

import re
from pathlib import Path

from forge.report.page import bar, table, text
from forge.report.record import RunRecord
from forge.run.headlines import headline
from forge.run.quantities import duration

LOG_LINES = 25
LOG_BYTES = 20_000
_REPR = re.compile(r"\A\w+\((['\"])(.*)\1\)\Z", re.DOTALL)


def stages_part(record: RunRecord) -> str:
    """Return each stage of the plan with how it went, how long it took and what it found."""
    times = {name: artifact.wall_clock_s for name, artifact in record.artifacts.items()}
    training = record.summary("train")
    if training is not None:
        times["train"] = training["wall_clock_s"]
    most = max(times.values(), default=1) or 1
    rows = []
    for stage in record.plan.stages:
        artifact, seen = record.artifacts.get(stage.name), record.history.stages.get(stage.name)
        if artifact is not None:
            took_s = times[stage.name]
            rows.append((stage.name, duration(took_s), bar(took_s / most), text(headline(artifact))))
        elif seen is None:
            rows.append((stage.name, "", "", '<span class="quiet">not begun</span>'))
        else:
            color = {"failed": "bad", "stopped": "warn"}.get(seen.state, "quiet")
            said = ", ".join(filter(None, (seen.state, seen.progress)))
            rows.append((stage.name, "", "", f'<span class="{color}">{text(said)}</span>'))
    return f'<div class="stages">{table(("stage", "took", "", "found"), rows, raw=True, numbers={1})}</div>'


def failure_part(record: RunRecord) -> str:
    """Return why the run failed, with the end of the newest log; nothing where it did not."""
    lines = [*record.problems, *([said(record.failure)] if record.failure is not None else [])]
    if not lines:
        return ""
    shown = "".join(f'<p class="answer bad">{text(line)}</p>' for line in lines)
    log = _newest_log(record.folder / "logs")
    if log is None:
        return shown
    return f"{shown}<p>The end of <code>logs/{text(log.name)}</code>:</p><pre>{text(_end_of(log))}</pre>"


def said(error: str) -> str:
    """Return the line of an error that events.jsonl holds as `StageError('...')`."""
    found = _REPR.match(error)
    return found.group(2).replace("\\'", "'").replace("\\n", "; ") if found else error


def _newest_log(folder: Path) -> Path | None:
    logs = [path for path in folder.glob("*.log") if path.stat().st_size]
    return max(logs, key=lambda path: path.stat().st_mtime, default=None)


def _end_of(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - LOG_BYTES, 0))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return "\n".join(lines[-LOG_LINES:])
