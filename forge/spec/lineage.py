"""Which files a recipe or an option is made of: what it extends, what that extends, and so on.

Walked before Hydra composes anything, for Hydra follows a circle until Python's stack ends, and merges a file that
is reached on two ways twice, so that the second copy undoes what stands between them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from forge.spec.defaults import Entry, read_defaults
from forge.spec.problems import Problem
from forge.spec.search_path import SearchPath, SpecFile

MAX_DEPTH = 16


@dataclass(slots=True)
class Lineage:
    """The files that take part, base first and the walked file itself last."""

    files: list[SpecFile] = field(default_factory=list)
    entries: dict[str, list[Entry]] = field(default_factory=dict)
    """Config path of each file to the entries of its defaults list that can be followed."""
    problems: list[Problem] = field(default_factory=list)
    stopped: bool = False
    """Whether the walk ended at what cannot be followed: whatever comes after it would be said in its words again."""


def lineage_of(config_path: str, search_path: SearchPath) -> Lineage:
    """Return the lineage of one file; what cannot be followed is a problem and left out."""
    lineage = Lineage()
    _visit(config_path, (), lineage, search_path)
    return lineage


def _visit(config_path: str, trail: tuple[str, ...], lineage: Lineage, search_path: SearchPath) -> None:
    file = search_path.find(config_path)
    if file is None:
        return
    entries, problems = read_defaults(file, search_path)
    lineage.problems += problems
    followed: list[Entry] = []
    lineage.entries[config_path] = followed
    trail = (*trail, config_path)
    for entry in entries:
        if lineage.stopped:
            break
        problem = _unfollowable(entry, trail, lineage) if entry.kind == "extend" else None
        if problem is not None:
            lineage.problems.append(Problem(file.shown, entry.line, problem))
            lineage.stopped = True
            break
        followed.append(entry)
        if entry.kind == "extend":
            _visit(entry.target, trail, lineage, search_path)
    lineage.files.append(file)


def _unfollowable(entry: Entry, trail: tuple[str, ...], lineage: Lineage) -> str | None:
    """Return why `entry` of the last file of `trail` cannot be followed, or None."""
    if entry.target in trail:
        circle = " -> ".join(
            path.partition("/")[2] for path in (*trail[trail.index(entry.target) :], entry.target)
        )
        return f"extends itself: {circle}"
    if entry.target in lineage.entries:
        name = entry.target.partition("/")[2]
        return f"{name} is extended twice, so its values would undo others: extend it once"
    if len(trail) >= MAX_DEPTH:
        return f"extends more than {MAX_DEPTH} deep: put what is shared into one"
    return None
