"""Compose a spec: files and overrides in, values with their origins out, or every mistake at once.

Hydra reads the overrides and says in which order the files are merged; nothing else of Hydra runs: no `@hydra.main`,
no `instantiate`, no resolvers, no plugins. A recipe is data.
"""

from __future__ import annotations

from collections.abc import Sequence

from forge.errors import SpecError
from forge.spec.choices import beaten_choices, choice_origins, starting_options
from forge.spec.command_line import read_command_line
from forge.spec.defaults import PRIMARY, Entry, misplaced
from forge.spec.lineage import Lineage, lineage_of
from forge.spec.origins import replay
from forge.spec.problems import Problem, raise_problems
from forge.spec.references import resolve
from forge.spec.rules import apply_rules
from forge.spec.schema import spec_schema
from forge.spec.search_path import RECIPE_GROUP, SearchPath, SpecFile, default_search_path
from forge.spec.source import merge_order
from forge.spec.types import Spec
from forge.spec.validate import check_values


def compose_spec(overrides: Sequence[str], search_path: SearchPath | None = None) -> Spec:
    """Compose, locate and validate one spec.

    Args:
        overrides: Hydra overrides, as typed.
        search_path: where to look; that of this process where None.

    Raises:
        SpecError: with one line for every mistake in the command line and the files, sorted by place.
    """
    search_path = search_path or default_search_path()
    schema = spec_schema()
    line = read_command_line(overrides, search_path, schema)
    primary = search_path.find(PRIMARY)
    if primary is None:
        raise SpecError(f"conf/{PRIMARY}.yaml is missing: install forge again")
    start, start_problems = starting_options(primary, search_path)
    raise_problems([*_file_problems(primary), *start_problems])

    recipes = Lineage() if line.recipe is None else lineage_of(f"{RECIPE_GROUP}/{line.recipe}", search_path)
    recipe_entries = [(file, recipes.entries[file.config_path]) for file in recipes.files]
    chosen = choice_origins(primary, recipe_entries, line, search_path)
    choices = {group: str(chosen[group][0].value) for group in schema.groups}
    options = [lineage_of(f"{group}/{option}", search_path) for group, option in choices.items()]

    entries: dict[str, list[Entry]] = {PRIMARY: start}
    problems: list[Problem] = list(line.problems)
    for lineage in (recipes, *options):
        entries |= lineage.entries
        problems += lineage.problems
    files = merge_order(entries, line.choices, line.recipe, search_path)
    result = replay(files, line.settings)
    for file, _ in files:
        problems += _file_problems(file)

    values, reference_problems, unresolved = resolve(result.values, result.origins, schema)
    incomplete = bool(problems)
    checked, refused = check_values(values, result.origins, unresolved, schema, incomplete=incomplete)
    problems += [*reference_problems, *checked, *beaten_choices(result.origins, chosen)]
    values, origins, broken = apply_rules(values, result.origins, refused, schema)
    raise_problems([*problems, *([] if incomplete else broken)])

    names = tuple(file.config_path.removeprefix(f"{RECIPE_GROUP}/") for file in recipes.files)
    hidden = [
        f"{file.shown} hides forge's own recipe of that name"
        for name, file in zip(names, recipes.files, strict=True)
        if search_path.shadowed(name)
    ]
    hidden += [
        f"{file.shown} hides the recipe of pack {search_path.hidden_pack(name)}"
        for name, file in zip(names, recipes.files, strict=True)
        if search_path.hidden_pack(name)
    ]
    packs = sorted({file.pack for file, _ in files if file.pack}, key=lambda pack: pack.name)
    return Spec(values, origins, names, choices, (*line.notes, *hidden), chosen, tuple(packs))


def _file_problems(file: SpecFile) -> list[Problem]:
    return [Problem(file.shown, at, what) for at, what in file.document.errors] + misplaced(file)
