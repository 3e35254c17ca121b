"""Where groups and recipes are looked up, and the one place where their files are read.

The order is fixed and the first hit wins: groups from the user's conf folder, then forge's; recipes from
`./recipes`, `$FORGE_RECIPE_PATH`, the user's config folder, then forge's own. Recipes of an installed pack are
mounted under its name (`acme/legal_7b`), so a pack can never stand in for a recipe of another.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from forge.resources import data_dir
from forge.spec import safe_yaml
from forge.spec.machine_names import machine_document, machine_names
from forge.spec.safe_yaml import Document

RECIPE_GROUP = "recipe"
HARDWARE_GROUP = "hardware"
PACK_ENTRY_POINTS = "forge.recipes"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_YAML_NUMBER_NAMES = frozenset({"nan", "inf", "true", "false", "null"})


@dataclass(frozen=True, slots=True)
class Root:
    """A folder of spec files. `mount` is the group path its files appear under."""

    folder: Path
    mount: str
    trust: Literal["conf", "recipe"]
    label: str
    """What the folder is called in messages where it lies outside the working directory."""


@dataclass(frozen=True, slots=True)
class SpecFile:
    """One file found on the search path, read and checked."""

    config_path: str
    """`model/llama_7b`, `recipe/legal_7b`, `config`."""
    path: Path
    shown: str
    """The name messages use."""
    trust: Literal["conf", "recipe"]
    document: Document


@dataclass(slots=True)
class SearchPath:
    """Looks files up by config path. Reads each file once."""

    roots: tuple[Root, ...]
    _files: dict[str, SpecFile | None] = field(default_factory=dict)

    def find(self, config_path: str) -> SpecFile | None:
        """Return the file that `config_path` names, or None. Never raises: the document carries its errors."""
        if config_path not in self._files:
            self._files[config_path] = self._read(config_path)
        return self._files[config_path]

    def groups(self) -> tuple[str, ...]:
        """Return the groups an option can be chosen for, without `recipe`."""
        found = {
            child.name
            for root in self.roots
            if root.mount == "" and root.folder.is_dir()
            for child in root.folder.iterdir()
            if child.is_dir() and _NAME.match(child.name)
        }
        return tuple(sorted(found))

    def options(self, group: str) -> tuple[str, ...]:
        """Return the options of `group` (or the recipes), sorted; names that start with `_` are parts, not options."""
        names = {name for name, _ in self._options(group)}
        if group == HARDWARE_GROUP:
            names.update(machine_names(self.chips()))
        return tuple(sorted(names))

    def chips(self) -> dict[str, dict[str, Any]]:
        """Return the values of the GPUs that group `hardware` knows, by name; the first hit of each name wins."""
        found: dict[str, dict[str, Any]] = {}
        for root in self.roots:
            folder = _folder_of(root, HARDWARE_GROUP)
            for file in sorted(folder.glob("_*.yaml")) if folder is not None else ():
                part = self.find(f"{HARDWARE_GROUP}/{file.stem}")
                if part is not None:
                    found.setdefault(file.stem.removeprefix("_"), part.document.values)
        return found

    def shadowed(self, recipe: str) -> Path | None:
        """Return the forge recipe that a user's recipe of the same name hides, or None."""
        built_in = data_dir("recipes") / f"{recipe}.yaml"
        found = self.find(f"{RECIPE_GROUP}/{recipe}")
        if found is None or not built_in.is_file() or found.path.resolve() == built_in.resolve():
            return None
        return built_in

    def is_group(self, config_path: str) -> bool:
        """True where `config_path` names a folder of options."""
        return config_path in ("", RECIPE_GROUP) or any(True for _ in self._options(config_path))

    def _options(self, group: str) -> Iterator[tuple[str, Root]]:
        for root in self.roots:
            folder = _folder_of(root, group)
            if folder is None or not folder.is_dir():
                continue
            for file in sorted(folder.glob("*.yaml")):
                if is_option_name(file.stem):
                    yield file.stem, root

    def _read(self, config_path: str) -> SpecFile | None:
        group, _, name = config_path.rpartition("/")
        if not _NAME.match(name.removeprefix("_")):
            return None
        for root in self.roots:
            folder = _folder_of(root, group)
            if folder is None:
                continue
            file = folder / f"{name}.yaml"
            if not file.is_file():
                continue
            shown = shown_path(file, root)
            if not file.resolve().is_relative_to(root.folder.resolve()):
                document = Document(
                    {}, {}, [(1, "is a link that leaves its folder: put the file itself there")]
                )
            else:
                document = _parse_file(file)
            return SpecFile(config_path, file, shown, root.trust, document)
        if group == HARDWARE_GROUP and not name.startswith("_"):
            named = machine_document(name, self.chips())
            if named is not None:
                return SpecFile(config_path, Path(f"{name}.yaml"), f"hardware={name}", "conf", named)
        return None


def is_option_name(name: str) -> bool:
    """True for a name that can be chosen: no leading `_`, nothing Hydra's grammar would read as a number."""
    if not _NAME.match(name) or name.lower() in _YAML_NUMBER_NAMES:
        return False
    return isinstance(safe_yaml.scalar_value(name, quoted=False), str)


def default_search_path(packs: bool = False) -> SearchPath:
    """Return the search path of this process: its working directory, environment and user.

    Args:
        packs: also mount installed packs; looking for them costs tens of milliseconds.
    """
    user = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "forge"
    roots = [
        Root(user / "conf", "", "conf", "~/.config/forge/conf"),
        Root(data_dir("conf"), "", "conf", "conf"),
        Root(Path.cwd() / "recipes", RECIPE_GROUP, "recipe", "recipes"),
    ]
    for entry in os.environ.get("FORGE_RECIPE_PATH", "").split(os.pathsep):
        if entry:
            roots.append(Root(Path(entry).absolute(), RECIPE_GROUP, "recipe", entry))
    roots.append(Root(user / "recipes", RECIPE_GROUP, "recipe", "~/.config/forge/recipes"))
    roots.append(Root(data_dir("recipes"), RECIPE_GROUP, "recipe", "recipes"))
    if packs:
        roots.extend(_pack_roots())
    return SearchPath(tuple(roots))


def shown_path(file: Path, root: Root) -> str:
    """Return the short name of `file` for messages: relative to the working directory, else below its root's label."""
    if not file.resolve().is_relative_to(data_dir("conf").parent.resolve()):
        try:
            return safe_yaml.printable(file.relative_to(Path.cwd()).as_posix())
        except ValueError:
            pass
    return safe_yaml.printable(f"{root.label}/{file.relative_to(root.folder).as_posix()}")


def _folder_of(root: Root, group: str) -> Path | None:
    """Return the folder of `root` that holds the options of `group`, or None where it is mounted elsewhere."""
    if group == root.mount:
        return root.folder
    inner = group if root.mount == "" else group.removeprefix(f"{root.mount}/")
    if root.mount and inner == group:
        return None
    if not all(_NAME.match(part) for part in inner.split("/")):
        return None
    return root.folder / inner


def _parse_file(file: Path) -> Document:
    try:
        if file.stat().st_size > safe_yaml.MAX_BYTES:
            return safe_yaml.parse(" " * (safe_yaml.MAX_BYTES + 1))
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return Document({}, {}, [(1, "is not UTF-8 text: save it as UTF-8")])
    except OSError as error:
        return Document({}, {}, [(1, f"cannot be read ({error.strerror})")])
    return safe_yaml.parse(text)


def _pack_roots() -> Iterator[Root]:
    """Yield the recipe folders of installed packs. A pack is located, never imported: its code does not run."""
    from importlib.metadata import entry_points
    from importlib.util import find_spec

    for entry in sorted(entry_points(group=PACK_ENTRY_POINTS), key=lambda entry: entry.name):
        if not _NAME.match(entry.name) or "." in entry.value or ":" in entry.value:
            continue
        spec = find_spec(entry.value)
        for location in (spec.submodule_search_locations or ()) if spec else ():
            yield Root(Path(location), f"{RECIPE_GROUP}/{entry.name}", "recipe", entry.name)
