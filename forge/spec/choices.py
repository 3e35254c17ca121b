"""Which option of each group is in force, who chose it, and what would silently beat that choice.

In Hydra a recipe's value beats an option that was chosen after the recipe was written: with `train: {beta: 0.5}` in
a recipe, `train=sft` on the command line still trains with that beta. Forge refuses such a spec, unless the value is
the chosen option's own.
"""

from __future__ import annotations

from collections.abc import Sequence

from forge.spec.command_line import CommandLine
from forge.spec.defaults import Entry, read_defaults
from forge.spec.problems import COMMAND_LINE, Problem, problem_at
from forge.spec.schema import spec_schema
from forge.spec.search_path import SearchPath, SpecFile
from forge.spec.types import Origin, Origins, dotted

ChoiceOrigins = dict[str, tuple[Origin, ...]]


def starting_options(primary: SpecFile, search_path: SearchPath) -> tuple[list[Entry], list[Problem]]:
    """Return what conf/config.yaml chooses, and its problems: it has to choose an option of every group."""
    entries, problems = read_defaults(primary, search_path)
    chosen = {entry.target for entry in entries}
    for group in spec_schema().groups:
        if group not in chosen and not problems:
            what = f"defaults: chooses no {group}: write `- {group}: OPTION`"
            problems.append(Problem(primary.shown, primary.document.lines.get(("defaults",), 1), what))
    return entries, problems


def choice_origins(
    primary: SpecFile,
    recipes: Sequence[tuple[SpecFile, list[Entry]]],
    line: CommandLine,
    search_path: SearchPath,
) -> ChoiceOrigins:
    """Return the places that chose each group's option, in force first.

    Args:
        primary: conf/config.yaml.
        recipes: the recipes that take part, base first, with what they choose.
        line: the command line, which has the last word.
        search_path: where options are looked up.
    """
    origins: ChoiceOrigins = {}
    speakers = [(primary, read_defaults(primary, search_path)[0]), *recipes]
    for order, (file, entries) in enumerate(speakers, start=-1):
        for entry in entries:
            if entry.kind == "choose":
                origin = Origin(f"{file.shown}:{entry.line}", file.trust, entry.option, order)
                origins[entry.target] = (origin, *origins.get(entry.target, ()))
    for group, option in line.choices.items():
        origin = Origin(COMMAND_LINE, "command line", option, len(recipes))
        origins[group] = (origin, *origins.get(group, ()))
    return origins


def beaten_choices(origins: Origins, choices: ChoiceOrigins) -> list[Problem]:
    """Find values of a recipe that would silently beat an option chosen after that recipe spoke."""
    problems = []
    for key, chain in origins.items():
        chosen = _first_to_choose(choices.get(key[0], ()))
        if chosen is None or key[0] == "hardware":  # where a recipe may set nothing at all
            continue

        def spoke_before(origin: Origin, chosen: Origin = chosen) -> bool:
            return 0 <= origin.order < chosen.order

        others = [origin for origin in chain if not spoke_before(origin)]
        if not spoke_before(chain[0]) or (others and others[0].value == chain[0].value):
            continue
        place = "on the command line" if chosen.trust == "command line" else f"in {chosen.where}"
        name = dotted(key)
        message = (
            f"{name}: would beat {key[0]}={chosen.value}, chosen {place}: "
            f"set {name} there too, or leave that choice out"
        )
        problems.append(problem_at(chain[0].where, message))
    return problems


def _first_to_choose(chain: Sequence[Origin]) -> Origin | None:
    """Return who chose the option in force first, so that repeating a choice changes nothing; None for conf."""
    first: Origin | None = None
    for origin in chain:
        if origin.value != chain[0].value:
            break
        first = origin
    return None if first is None or first.trust == "conf" else first
