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

from forge.spec.hints import did_you_mean, no_such_option
from forge.spec.problems import Problem
from forge.spec.schema import spec_schema
from forge.spec.search_path import RECIPE_GROUP, SearchPath, SpecFile, is_option_name
from forge.spec.text import printable, shortened, shown

PRIMARY = "config"

OWN_GROUPS = ("launch", "track")
"""That only the user chooses an option of."""

_CHOICE = re.compile(r"(?P<override>override )?(?P<slash>/)?(?P<group>[A-Za-z0-9_-]+)\Z")


@dataclass(frozen=True, slots=True)
class Entry:
    """One good entry of a defaults list."""

    kind: Literal["extend", "choose"]
    target: str
    """A config path for `extend`, a group otherwise."""
    option: str
    line: int


def is_recipe(file: SpecFile) -> bool:
    """True for a recipe, False for an option of a group and for conf/config.yaml."""
    return file.config_path.startswith(f"{RECIPE_GROUP}/")


def own_values(file: SpecFile) -> dict[str, Any]:
    """Return what `file` sets itself: without its defaults list and what `misplaced` reports."""
    out = {"defaults", *_misplaced(file)}
    return {key: value for key, value in file.document.values.items() if key not in out}


def misplaced(file: SpecFile) -> list[Problem]:
    """Return problems for `hydra`, which configures Hydra, and for a value in the place of a whole group."""
    lines = file.document.lines
    return [Problem(file.shown, lines[(key,)], f"{key}: {what}") for key, what in _misplaced(file).items()]


def _misplaced(file: SpecFile) -> dict[str, str]:
    values = file.document.values
    found = {"hydra": "forge has no hydra settings: drop it"} if "hydra" in values else {}
    if is_recipe(file) or file.config_path == PRIMARY:
        for group in spec_schema().groups:
            if group in values and not isinstance(values[group], dict):
                found[group] = f"{shown(values[group])} is not a mapping: write its keys below it, indented"
    return found


def read_defaults(file: SpecFile, search_path: SearchPath) -> tuple[list[Entry], list[Problem]]:
    """Return the entries of `file` that have a good form and name something there is, and problems for the others."""
    good: list[Entry] = []
    problems: list[Problem] = []
    for item in _read(file):
        problem = item if isinstance(item, Problem) else _unknown(file, item, search_path)
        if problem is not None:
            problems.append(problem)
        elif isinstance(item, Entry):
            good.append(item)
    return good, problems


def _unknown(file: SpecFile, entry: Entry, search_path: SearchPath) -> Problem | None:
    """Return the problem of an entry that names what there is not."""
    if entry.kind == "extend":
        group = entry.target.rpartition("/")[0]
        found = search_path.find(entry.target)
        if found is None or not (is_recipe(found) or found.pack in (None, file.pack)):
            return Problem(file.shown, entry.line, no_such_option(group, entry.option, search_path))
        return None
    groups = spec_schema().groups
    if entry.target not in groups:
        hint = did_you_mean(entry.target, groups) or f" there are: {', '.join(groups)}"
        return Problem(file.shown, entry.line, f"there is no group '{entry.target}'.{hint}")
    if entry.target in OWN_GROUPS and is_recipe(file):
        what = f"{entry.target}: is chosen on the command line or in one's own conf, not in a recipe: drop the line"
        return Problem(file.shown, entry.line, what)
    found = search_path.find(f"{entry.target}/{entry.option}")
    if found is None or not _may_choose(file, entry.option, found):
        return Problem(file.shown, entry.line, no_such_option(entry.target, entry.option, search_path))
    return None


def _may_choose(file: SpecFile, option: str, found: SpecFile) -> bool:
    """Whether `file` may choose `found`; an option of a pack is for that pack's recipes."""
    pack, _, name = option.rpartition("/")
    if found.pack is None or file.pack is None:
        return is_option_name(option)
    return pack == found.pack.name == file.pack.name and is_option_name(name)


def _read(file: SpecFile) -> Iterator[Entry | Problem]:
    document = file.document
    listed = document.values.get("defaults")
    if listed is None:
        return
    if not isinstance(listed, list):
        line = document.lines.get(("defaults",), 1)
        yield Problem(file.shown, line, f"defaults: is a list: write `- {_form(file)}` lines below it")
        return
    chosen: dict[str, int] = {}
    self_line: int | None = None
    for index, item in enumerate(listed):
        line = document.lines.get(("defaults", index), 1)
        if item == "_self_":
            self_line = line
            continue
        entry = _extend(file, item, line) if isinstance(item, str) else _choose(file, item, line)
        if isinstance(entry, Entry) and entry.kind == "choose":
            if entry.target in chosen:
                what = f"{entry.target}: is already chosen on line {chosen[entry.target]}: keep one"
                entry = Problem(file.shown, line, what)
            else:
                chosen[entry.target] = line
        yield entry
        comes_before = isinstance(entry, Entry) and (entry.kind == "extend" or not is_recipe(file))
        if self_line is not None and comes_before:
            yield Problem(file.shown, self_line, "_self_: what a file sets itself wins here: drop the line")
            self_line = None


def _choose(file: SpecFile, item: Any, line: int) -> Entry | Problem:
    if not isinstance(item, dict) or len(item) != 1:
        return Problem(file.shown, line, f"defaults: write `- {_form(file)}`, one in each line")
    key, option = next(iter(item.items()))
    shown = option if isinstance(option, str) else "OPTION"
    written = shortened(f"'{key}: {printable(shown)}'")
    match = _CHOICE.match(key)
    group = re.split(r"[\s/]+", key.split("@")[0])[-1] or "GROUP"
    if group == RECIPE_GROUP or key.lstrip("/").startswith(f"{RECIPE_GROUP}/"):
        return Problem(file.shown, line, f"{written}: to extend a recipe write `- {shown}`")
    if not is_recipe(file) and file.config_path != PRIMARY:
        return Problem(
            file.shown, line, f"{written}: an option extends options beside it and chooses nothing"
        )
    well_formed = match is not None and (
        bool(match["override"] and match["slash"]) if is_recipe(file) else not match["override"]
    )
    if not well_formed:
        form = _form(file, group, shown)
        return Problem(file.shown, line, f"{written}: to choose an option write `- {form}`")
    if not isinstance(option, str):
        return Problem(file.shown, line, f"{group}: name one option, as text: `- {_form(file, group)}`")
    return Entry("choose", group, option, line)


def _extend(file: SpecFile, item: str, line: int) -> Entry | Problem:
    written = shortened(f"'{printable(item)}'")
    group = file.config_path.rpartition("/")[0]
    target = item[1:] if item.startswith("/") else f"{group}/{item}"
    if not re.fullmatch(r"/?[A-Za-z0-9_./-]+", item) or ".." in item:
        return Problem(file.shown, line, f"{written}: only names of recipes and options stand here")
    here, there = group, target.rpartition("/")[0]
    if is_recipe(file):
        here, there = RECIPE_GROUP, target.partition("/")[0]
    elif (
        file.pack is not None
    ):  # `- /model/llama_1b`: what a pack may not set, it has from an option of forge
        here, there = group.partition("/")[0], target.partition("/")[0]
    if file.config_path == PRIMARY or there != here:
        if not is_recipe(file) and file.config_path != PRIMARY:
            return Problem(
                file.shown, line, f"{written}: an option extends options beside it and chooses nothing"
            )
        chosen = target.split("/") if re.fullmatch(r"[^/]+/[^/]+", target) else ()
        return Problem(file.shown, line, f"{written}: to choose an option write `- {_form(file, *chosen)}`")
    return Entry("extend", target, target.rpartition("/")[2], line)


def _form(file: SpecFile, group: str = "GROUP", option: str = "OPTION") -> str:
    """Return how `file` writes that it chooses an option."""
    return f"override /{group}: {option}" if is_recipe(file) else f"{group}: {option}"
