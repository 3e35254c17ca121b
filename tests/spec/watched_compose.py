"""Composes specs in a process of its own and reports what Python did meanwhile.

Reads jobs from standard input as JSON, writes one report each to standard output. The audit hook sees every file
that is opened, every module imported, process started, connection made and line of source compiled, by whomever.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import traceback
from pathlib import Path
from typing import Any

HARMLESS = {
    "builtins.id",
    "object.__getattr__",
    "object.__setattr__",
    "os.listdir",
    "os.scandir",
    "pathlib.Path.glob",
    "sys._getframe",
}
FOREIGN = ("acme_recipes", "hydra_plugins")
MEMORY_LIMIT_BYTES = 2 * 1024**3

events: list[str] = []
opened: list[str] = []
watching = False


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Keep what happens while a spec is composed."""
    if not watching or event in HARMLESS:
        return
    if event == "open":
        path, mode, flags = arguments
        opened.append(str(Path(str(path)).absolute()))
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC) if isinstance(flags, int) else 0
        if writes or (isinstance(mode, str) and set(mode) & set("wax+")):
            events.append(f"open for writing: {path}")
    else:
        events.append(f"{event}: {arguments!r:.200}")


def compose(overrides: list[str]) -> dict[str, Any]:
    """Compose one spec and report how that ended."""
    global watching
    from forge.errors import SpecError
    from forge.spec.compose import compose_spec
    from forge.spec.show import explain, spec_to_yaml

    events.clear()
    opened.clear()
    report: dict[str, Any] = {"lines": [], "spec": "", "notes": [], "traceback": ""}
    watching = True
    try:
        spec = compose_spec(overrides)
        report["spec"] = spec_to_yaml(spec)
        report["notes"] = list(spec.notes)
        explain(spec, "train")
    except SpecError as error:
        report["lines"] = list(error.lines)
    except BaseException:
        report["traceback"] = traceback.format_exc()
    finally:
        watching = False
    foreign = [name for name in sys.modules if name.split(".")[0] in FOREIGN]
    return report | {"events": list(events), "opened": list(opened), "foreign_modules": foreign}


def main() -> None:
    """Run the jobs of standard input."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    jobs = json.load(sys.stdin)
    compose([])  # what is loaded late is loaded now
    compose(["recipe=acme/x"])  # and so is what looks for packs
    sys.addaudithook(watch)
    for job in jobs:
        os.chdir(job["folder"])
        print(json.dumps(compose(job["overrides"])), flush=True)


if __name__ == "__main__":
    main()
