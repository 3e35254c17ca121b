"""The defaults list of a spec file: what it chooses and what it extends, in the few forms forge allows.

    defaults:
      - base                       # a recipe extends a recipe; an option extends an option beside it
      - /recipe/base               # the same, from anywhere
      - override /model: llama_7b  # a recipe chooses an option
      - model: llama_25m           # conf/config.yaml alone says which options a spec starts from

What is wrong is reported with its line and left out, so that the rest can be checked too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from forge.spec.problems import Problem, did_you_mean
from forge.spec.search_path import RECIPE_GROUP, SearchPath, SpecFile

PRIMARY = "config"

_CHOICE = re.compile(r"(?P<override>override )?(?P<slash>/)?(?P<group>[A-Za-z0-9_-]+)\Z")


@dataclass(frozen=True, slots=True)
class Entry:
    """One good entry of a defaults list."""

    kind: Literal["extend", "choose", "override"]
    target: str
    """A config path for `extend`, a group otherwise."""
    option: str
    line: int


def entries(file: SpecFile) -> list[Entry]:
    """Return the well-formed entries of `file`'s defaults list."""
    return [item for item in _read(file) if isinstance(item, Entry)]


def malformed(file: SpecFile) -> list[Problem]:
    """Return what is wrong with the form of `file`'s defaults list, and a `hydra` key where it has one."""
    problems = [item for item in _read(file) if isinstance(item, Problem)]
    if "hydra" in file.document.values:
        line = file.document.lines[("hydra",)]
        problems.append(Problem(file.shown, line, "hydra: forge has no hydra settings: drop it"))
    return problems


def composable(file: SpecFile, search_path: SearchPath) -> dict[str, Any]:
    """Return `file`'s content for Hydra, its defaults in the order Hydra wants: extended, own values, overrides."""
    content = own_values(file)
    good, _ = check_choices(file, search_path)
    listed: list[Any] = [
        f"/{entry.target}" if entry.target.startswith(f"{RECIPE_GROUP}/") else entry.option
        for entry in good
        if entry.kind == "extend"
    ]
    listed += [{entry.target: entry.option} for entry in good if entry.kind == "choose"]
    listed.append("_self_")
    listed += [{f"override /{entry.target}": entry.option} for entry in good if entry.kind == "override"]
    return {"defaults": listed, **content}


def own_values(file: SpecFile) -> dict[str, Any]:
    """Return what `file` sets itself: no defaults list, and nothing under `hydra`, which configures Hydra."""
    return {key: value for key, value in file.document.values.items() if key not in ("defaults", "hydra")}


def check_choices(file: SpecFile, search_path: SearchPath) -> tuple[list[Entry], list[Problem]]:
    """Split `file`'s entries into those that name something there is, and problems for those that do not."""
    good: list[Entry] = []
    problems: list[Problem] = []
    for entry in entries(file):
        if entry.kind == "extend":
            if search_path.find(entry.target) is None:
                group = entry.target.rpartition("/")[0]
                hint = did_you_mean(entry.option, search_path.options(group))
                problems.append(
                    Problem(file.shown, entry.line, f"there is no {group} '{entry.option}'.{hint}")
                )
                continue
        elif entry.target not in search_path.groups():
            hint = did_you_mean(entry.target, search_path.groups())
            problems.append(Problem(file.shown, entry.line, f"there is no group '{entry.target}'.{hint}"))
            continue
        elif search_path.find(f"{entry.target}/{entry.option}") is None or entry.option.startswith("_"):
            options = search_path.options(entry.target)
            hint = did_you_mean(entry.option, options) or f" there are: {', '.join(options)}"
            message = f"there is no {entry.target} '{entry.option}'.{hint}"
            problems.append(Problem(file.shown, entry.line, message))
            continue
        good.append(entry)
    return good, problems


def _read(file: SpecFile) -> Iterator[Entry | Problem]:
    document = file.document
    listed = document.values.get("defaults")
    if listed is None:
        return
    if not isinstance(listed, list):
        line = document.lines.get(("defaults",), 1)
        yield Problem(
            file.shown, line, "defaults: is a list: write `- override /GROUP: OPTION` lines below it"
        )
        return
    chosen: dict[str, int] = {}
    for index, item in enumerate(listed):
        line = document.lines.get(("defaults", index), 1)
        for entry in _read_item(file, item, line):
            if isinstance(entry, Entry) and entry.kind != "extend":
                if entry.target in chosen:
                    first = chosen[entry.target]
                    yield Problem(
                        file.shown, line, f"{entry.target} is already chosen on line {first}: keep one"
                    )
                    continue
                chosen[entry.target] = line
            yield entry


def _read_item(file: SpecFile, item: Any, line: int) -> Iterator[Entry | Problem]:
    is_recipe = file.config_path.startswith(f"{RECIPE_GROUP}/")
    if item == "_self_":
        return
    if isinstance(item, str):
        yield _extend(file, item, line)
        return
    if not isinstance(item, dict) or len(item) != 1:
        yield Problem(file.shown, line, "defaults: write `- override /GROUP: OPTION` or `- RECIPE`")
        return
    key, option = next(iter(item.items()))
    match = _CHOICE.match(key)
    if key.lstrip("/").startswith(RECIPE_GROUP) and isinstance(option, str):
        yield Problem(file.shown, line, f"to extend a recipe write `- {option}`")
    elif match is None or (match["override"] and not match["slash"]) or (is_recipe and not match["override"]):
        group = re.split(r"[\s/]+", key.split("@")[0])[-1]
        shown = option if isinstance(option, str) else "OPTION"
        yield Problem(
            file.shown, line, f"'{key}: {shown}': to choose an option write `- override /{group}: {shown}`"
        )
    elif not is_recipe and file.config_path != PRIMARY:
        yield Problem(file.shown, line, f"'{key}': an option extends options beside it and chooses nothing")
    elif not isinstance(option, str):
        yield Problem(file.shown, line, f"{match['group']}: name one option, as text")
    else:
        yield Entry("override" if match["override"] else "choose", match["group"], option, line)


def _extend(file: SpecFile, item: str, line: int) -> Entry | Problem:
    group = file.config_path.rpartition("/")[0]
    target = item[1:] if item.startswith("/") else f"{group}/{item}"
    group_of_target, _, option = target.rpartition("/")
    if ".." in item or "@" in item or ":" in item or item.startswith("~"):
        return Problem(file.shown, line, f"'{item}': only names of recipes and options stand here")
    if group_of_target.split("/")[0] != group.split("/")[0]:
        return Problem(file.shown, line, f"'{item}': to choose an option write `- override /GROUP: OPTION`")
    return Entry("extend", target, option, line)
