"""Where groups and recipes are looked up, and the one place where their files are read.

The order is fixed and the first hit wins: groups from the user's conf folder, then forge's; recipes from
`./recipes`, `$FORGE_RECIPE_PATH`, the user's config folder, then forge's own. Recipes and options of an installed
pack are mounted under its name (`acme/legal_7b`), so a pack can never stand in for what is another's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from forge.errors import SpecError
from forge.resources import data_dir
from forge.spec import safe_yaml
from forge.spec.machine_names import machine_document, machine_names
from forge.spec.safe_yaml import Document
from forge.spec.text import printable
from forge.spec.types import PackUse

RECIPE_GROUP = "recipe"
HARDWARE_GROUP = "hardware"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
# Hydra's grammar reads these as a number or a constant.
_CONSTANTS = frozenset({"nan", "inf", "true", "false", "null"})


@dataclass(frozen=True, slots=True)
class Root:
    """A folder of spec files. `mount` is the group path its files appear under."""

    folder: Path
    mount: str
    trust: Literal["conf", "recipe"]
    label: str
    """What the folder is called in messages where it lies outside the working directory."""
    pack: PackUse | None = None
    """The pack it is of."""
    problem: str = ""
    """Why nothing may be read from it: whatever is looked for there is found, and wrong."""


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
    pack: PackUse | None = None
    """The pack it is of."""


def _no_packs(name: str) -> tuple[Root, ...]:
    return ()


def _no_names() -> tuple[str, ...]:
    return ()


@dataclass(slots=True)
class SearchPath:
    """Looks files up by config path. Reads each file once."""

    roots: tuple[Root, ...]
    find_packs: Callable[[str], tuple[Root, ...]] = _no_packs
    """Finds the folders of the installed pack of a name; asked once a name, and only for what may be a pack's."""
    name_packs: Callable[[], tuple[str, ...]] = _no_names
    """Names the installed packs; asked only for a list of all recipes."""
    _packs: dict[str, tuple[Root, ...]] = field(default_factory=dict)
    _files: dict[str, SpecFile | None] = field(default_factory=dict)

    def find(self, config_path: str) -> SpecFile | None:
        """Return the file that `config_path` names, or None. Never raises: the document carries its errors."""
        if config_path not in self._files:
            self._files[config_path] = self._read(config_path)
        return self._files[config_path]

    def options(self, group: str) -> tuple[str, ...]:
        """Return the options of `group` (or the recipes), sorted; names that start with `_` are parts, not options."""
        folders = (_folder_of(root, group) for root in self._roots_of(group))
        found = {
            file.stem
            for folder in folders
            if folder is not None and _is_folder(folder)
            for file in folder.glob("*.yaml")
            if _is_file(file)
        }
        if group == HARDWARE_GROUP:
            found.update(machine_names(self._chips()))
        return tuple(sorted(name for name in found if is_option_name(name)))

    def folders(self, group: str) -> tuple[str, ...]:
        """Return the names of folders inside that of `group`, sorted; links are left out; packs are among them."""
        found = {
            inner.name
            for root in self._roots_of(group)
            if (folder := _folder_of(root, group)) is not None and _is_folder(folder)
            for inner in _inner_folders(folder)
            if _NAME.match(inner.name)
        }
        if group == RECIPE_GROUP:
            found.update(self.name_packs())
        return tuple(sorted(found))

    def _chips(self) -> set[str]:
        """Return the GPUs that group `hardware` knows: its parts, `_h100.yaml` and their like."""
        folders = (_folder_of(root, HARDWARE_GROUP) for root in self._roots_of(HARDWARE_GROUP))
        files = (file for folder in folders if folder is not None for file in folder.glob("_*.yaml"))
        return {file.stem.removeprefix("_") for file in files}

    def _named_machine(self, name: str) -> SpecFile | None:
        """Return the file that the rule for names such as `64xh100` makes up, or None."""

        def chip_values(chip: str) -> dict[str, Any] | None:
            part = self.find(f"{HARDWARE_GROUP}/_{chip}")
            return None if part is None else part.document.values

        document = machine_document(name, chip_values)
        if document is None:
            return None
        return SpecFile(
            f"{HARDWARE_GROUP}/{name}", Path(f"{name}.yaml"), f"hardware={name}", "conf", document
        )

    def misnamed(self, group: str, option: str) -> str | None:
        """Return the name of a `.yml` file that would be the option if it were called `.yaml`, or None."""
        if not _NAME.match(option):
            return None
        for root in self._roots_of(group):
            folder = _folder_of(root, group)
            if folder is not None and _is_file(folder / f"{option}.yml"):
                return shown_path(folder / f"{option}.yml", root)
        return None

    def shadowed(self, recipe: str) -> Path | None:
        """Return the forge recipe that a user's recipe of the same name hides, or None."""
        built_in = data_dir("recipes") / f"{recipe}.yaml"
        found = self.find(f"{RECIPE_GROUP}/{recipe}")
        if found is None or not built_in.is_file() or found.path.resolve() == built_in.resolve():
            return None
        return built_in

    def hidden_pack(self, recipe: str) -> str | None:
        """Return the installed pack whose recipe a user's recipe of the same name hides, or None."""
        found = self.find(f"{RECIPE_GROUP}/{recipe}")
        folder_name, _, name = f"{RECIPE_GROUP}/{recipe}".rpartition("/")
        if found is None or found.pack is not None:
            return None
        for root in self._roots_of(folder_name):
            folder = _folder_of(root, folder_name)
            if root.pack is not None and folder is not None and _is_file(folder / f"{name}.yaml"):
                return root.pack.name
        return None

    def _roots_of(self, group: str) -> Iterator[Root]:
        kind, _, inner = group.partition("/")
        # Only recipes lie in folders of a user's own; an inner option (`model/acme/small`) is a pack's.
        if not inner or kind == RECIPE_GROUP:
            yield from self.roots
        if inner:
            pack = inner.partition("/")[0]
            if pack not in self._packs:
                self._packs[pack] = self.find_packs(pack)
            yield from self._packs[pack]

    def _read(self, config_path: str) -> SpecFile | None:
        group, _, name = config_path.rpartition("/")
        if not _NAME.match(name.removeprefix("_")):
            return None
        for root in self._roots_of(group):
            folder = _folder_of(root, group)
            if folder is not None and root.problem:
                document = Document({}, {}, [(1, root.problem)])
                file = folder / f"{name}.yaml"
                return SpecFile(
                    config_path, file, f"{root.label}/{name}.yaml", root.trust, document, root.pack
                )
            if folder is None or not _is_file(folder / f"{name}.yaml"):
                continue
            file = folder / f"{name}.yaml"
            if file.resolve().is_relative_to(root.folder.resolve()):
                document = _parse_file(file)
            else:
                document = Document(
                    {}, {}, [(1, "is a link that leaves its folder: put the file itself there")]
                )
            return SpecFile(config_path, file, shown_path(file, root), root.trust, document, root.pack)
        if group == HARDWARE_GROUP and not name.startswith("_"):
            return self._named_machine(name)
        return None


def is_option_name(name: str) -> bool:
    """True for a name that can be chosen: no leading `_`, nothing Hydra's grammar would read as a number."""
    if not _NAME.match(name) or name.lower() in _CONSTANTS:
        return False
    return isinstance(safe_yaml.scalar_value(name, quoted=False), str)


def default_search_path() -> SearchPath:
    """Return the search path of this process: its working directory, environment and user.

    Raises:
        SpecError: the working directory is gone.
    """
    try:
        here = Path.cwd()
    except FileNotFoundError:
        raise SpecError("the working directory does not exist any more: cd to one that does") from None
    home = _expand("~")
    user = config_folder()
    user_label = f"~{str(user).removeprefix(home)}" if user.is_relative_to(home) else str(user)
    roots = [
        Root(user / "conf", "", "conf", f"{user_label}/conf"),
        Root(data_dir("conf"), "", "conf", "conf"),
        Root(here / "recipes", RECIPE_GROUP, "recipe", "recipes"),
    ]
    for entry in os.environ.get("FORGE_RECIPE_PATH", "").split(os.pathsep):
        if entry:
            folder = Path(_expand(entry)).absolute()
            roots.append(Root(folder, RECIPE_GROUP, "recipe", entry.rstrip("/")))
    roots.append(Root(user / "recipes", RECIPE_GROUP, "recipe", f"{user_label}/recipes"))
    own = data_dir("recipes")
    # Beside recipes of the user's in ./recipes, a line has to say of whose file it speaks.
    is_alone = not _is_folder(here / "recipes") or (here / "recipes").resolve() == own.resolve()
    roots.append(Root(own, RECIPE_GROUP, "recipe", "recipes" if is_alone else "forge/recipes"))
    return SearchPath(tuple(roots), _pack_roots, _pack_names)


def config_folder() -> Path:
    """Return the folder of the user's own settings: `~/.config/forge`."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or f"{_expand('~')}/.config", "forge").absolute()


def data_folder() -> Path:
    """Return the folder of what forge keeps for the user: `~/.local/share/forge`."""
    return Path(os.environ.get("XDG_DATA_HOME") or f"{_expand('~')}/.local/share", "forge").absolute()


def shown_path(file: Path, root: Root) -> str:
    """Return the short name of `file` for messages: relative to the working directory, else below its root's label."""
    if root.folder not in (data_dir("conf"), data_dir("recipes")) and file.is_relative_to(Path.cwd()):
        return printable(file.relative_to(Path.cwd()).as_posix())
    return printable(f"{root.label}/{file.relative_to(root.folder).as_posix()}")


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


# os.path's answers, not pathlib's, which raises for a folder that may not be read and for a user without a home.
def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112


def _inner_folders(folder: Path) -> list[Path]:
    try:
        return [inner for inner in folder.iterdir() if _is_folder(inner) and not inner.is_symlink()]
    except OSError:  # it may not be read
        return []


def _expand(path: str) -> str:
    return os.path.expanduser(path)  # noqa: PTH111


def _parse_file(file: Path) -> Document:
    try:
        with file.open("rb") as stream:
            content = stream.read(safe_yaml.MAX_BYTES + 1)
        if len(content) > safe_yaml.MAX_BYTES:
            return safe_yaml.too_large()
        return safe_yaml.parse(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return Document({}, {}, [(line, "is not UTF-8 text: save it as UTF-8")])
    except OSError as error:
        return Document({}, {}, [(1, f"cannot be read: {error.strerror}")])


def _pack_roots(name: str) -> tuple[Root, ...]:
    from forge.spec.packs import pack_roots  # what it needs is read only where a pack is meant

    return pack_roots(name)


def _pack_names() -> tuple[str, ...]:
    from forge.spec.packs import pack_names

    return pack_names()
