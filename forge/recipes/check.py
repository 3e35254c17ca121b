"""Every recipe and option of a pack, composed as whoever takes the pack composes it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from forge.errors import PackError, SpecError
from forge.resources import data_dir
from forge.spec.compose import compose_spec
from forge.spec.packs import conf_roots
from forge.spec.schema import spec_schema
from forge.spec.search_path import HARDWARE_GROUP, RECIPE_GROUP, Root, SearchPath, is_option_name
from forge.spec.types import PackUse


def check_recipes(folder: Path, use: PackUse) -> tuple[str, ...]:
    """Compose and validate every recipe and option of a pack, and return the recipes that can be chosen.

    Args:
        folder: has `recipes/` and perhaps `conf/`.
        use: the pack.

    Raises:
        PackError: with the lines of everything that is wrong, each at its place in the pack.
    """
    recipes = sorted(file.stem for file in folder.glob("recipes/*.yaml"))
    chosen = [name for name in recipes if is_option_name(name)]
    if not chosen:
        raise PackError(f"{use.name}: has no recipe that can be chosen: put one into recipes/NAME.yaml")
    options = sorted(
        (file.parent.name, file.stem)
        for file in folder.glob("conf/*/*.yaml")
        if not file.stem.startswith("_")
    )
    lines = [
        f"{use.name}/{name}.yaml: cannot be chosen: its name reads as a number or a constant: rename the file"
        for name in recipes
        if name not in chosen and not name.startswith("_")
    ]
    for group in sorted({group for group, _ in options}):
        if group == HARDWARE_GROUP or group not in spec_schema().groups:
            groups = ", ".join(name for name in spec_schema().groups if name != HARDWARE_GROUP)
            lines.append(
                f"{use.name}/conf/{group}: is no group that a pack has options of: those are {groups}"
            )
    with tempfile.TemporaryDirectory(prefix="forge-options-") as choosers:
        # An option is checked as its recipes would choose it, for there may be none that does.
        for group, option in options if not lines else ():
            text = f"defaults:\n  - override /{group}: {use.name}/{option}\n"
            Path(choosers, f"choose-{group}-{option}.yaml").write_text(text, encoding="utf-8")
        path = search_path_of(folder, use, Path(choosers))
        lines += _unreadable(path, use, recipes, folder)
        for name in (*chosen, *sorted(file.stem for file in Path(choosers).iterdir())):
            try:
                compose_spec([f"recipe={use.name}/{name}"], path)
            except SpecError as error:
                lines += error.lines
    if lines:
        raise PackError(*dict.fromkeys(lines))
    return tuple(f"{use.name}/{name}" for name in chosen)


def search_path_of(folder: Path, use: PackUse, more: Path | None = None) -> SearchPath:
    """Return forge's own conf and recipes with one pack mounted, and nothing of the user's.

    Args:
        folder: has the pack's files.
        use: the pack.
        more: a folder of further recipes under the pack's name.
    """
    mount = f"{RECIPE_GROUP}/{use.name}"
    roots = [Root(folder / "recipes", mount, "recipe", use.name, use), *conf_roots(folder, use)]
    if more is not None:
        roots.append(Root(more, mount, "recipe", use.name, use))
    own = (
        Root(data_dir("conf"), "", "conf", "conf"),
        Root(data_dir("recipes"), RECIPE_GROUP, "recipe", "recipes"),
    )
    return SearchPath(own, lambda name: tuple(roots) if name == use.name else ())


def write_members(folder: Path, members: Mapping[str, bytes]) -> None:
    """Write the files of a pack below a folder; their names have been checked."""
    for path, content in members.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def _unreadable(path: SearchPath, use: PackUse, recipes: list[str], folder: Path) -> list[str]:
    """Return the problems of files by themselves; a part that no recipe extends is read nowhere else."""
    names = [f"{RECIPE_GROUP}/{use.name}/{name}" for name in recipes]
    names += [f"{file.parent.name}/{use.name}/{file.stem}" for file in sorted(folder.glob("conf/*/*.yaml"))]
    files = (path.find(name) for name in names)
    return [
        f"{file.shown}:{line}: {what}"
        for file in files
        if file is not None
        for line, what in file.document.errors
    ]
