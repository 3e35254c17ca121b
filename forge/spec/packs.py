"""Installed packs: where they are, which version is in force, and whether they are still what was installed.

    ~/.local/share/forge/packs/NAME/VERSION/   the files of a pack, and installed.json: who had signed it

A pack may also come as a Python package with an entry point `forge.recipes`, with the same folders in it; it is
located, never imported.
What is found is mounted under the pack's name. Nothing of a pack that was changed since, that another forge should
read, that two places bring, or that the project's forge.lock does not pin as it is, can be read.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from forge.errors import PackError
from forge.spec.pack_format import MANIFEST, MAX_MEMBER_BYTES, SUFFIX, encode, is_member_name
from forge.spec.pack_manifest import check_files, json_bytes, misfit, read_json, read_manifest, version_key
from forge.spec.search_path import HARDWARE_GROUP, RECIPE_GROUP, Root, data_folder, is_option_name
from forge.spec.types import PackUse

INSTALLED = "installed.json"
LOCK = "forge.lock"
ENTRY_POINTS = "forge.recipes"

_PACK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_PYTHON_PACKAGE = "Python package"

Pins = dict[str, tuple[str, str]]
"""Pack to (version, SHA-256)."""


@dataclass(frozen=True, slots=True)
class InstalledPack:
    """One version of a pack that is there."""

    use: PackUse
    folder: Path
    kind: str
    """`pack`, or `Python package`."""
    recipes: tuple[str, ...]
    """That can be chosen, as `NAME/RECIPE`."""
    problem: str = ""
    """Why it cannot be used; '' where it can."""


def packs_folder() -> Path:
    """Return where packs are installed."""
    return data_folder() / "packs"


def installed_packs(name: str | None = None) -> tuple[InstalledPack, ...]:
    """Return the packs that are there, by name, newest version first: all, or those called `name`."""
    found = [*_from_files(name), *_from_python(name)]
    return tuple(
        sorted(
            found, key=lambda pack: (pack.use.name, *(-number for number in version_key(pack.use.version)))
        )
    )


def pack_names() -> tuple[str, ...]:
    """Return the names of the packs that are there; nothing of them is read."""
    from importlib.metadata import entry_points

    names = {folder.parent.name for folder in _version_folders("*")}
    names.update(entry.name for entry in entry_points(group=ENTRY_POINTS))
    return tuple(sorted(name for name in names if _PACK_NAME.match(name)))


def pack_roots(name: str) -> tuple[Root, ...]:
    """Return the folders of the pack called `name`, mounted under its name; () where there is none."""
    pack = pack_in_force(name)
    if pack is None:
        return ()
    recipes = Root(pack.folder / "recipes", f"{RECIPE_GROUP}/{name}", "recipe", name, pack.use, pack.problem)
    return (recipes, *conf_roots(pack.folder, pack.use, pack.problem))


def conf_roots(folder: Path, use: PackUse, problem: str = "") -> list[Root]:
    """Return the groups of options of a pack, mounted where only its own recipes choose them: `model/NAME`."""
    conf = folder / "conf"
    groups = sorted(group for group in conf.iterdir() if _is_own_folder(group)) if conf.is_dir() else []
    # Hardware is chosen and never described by a recipe. What pip brings was not checked when it came.
    groups = [group for group in groups if group.name != HARDWARE_GROUP]
    return [
        Root(group, f"{group.name}/{use.name}", "recipe", f"{use.name}/conf/{group.name}", use, problem)
        for group in groups
    ]


def _is_own_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def pack_in_force(name: str, project: Path | None = None) -> InstalledPack | None:
    """Return the pack that `name` means, with its problem if it has one; None where there is none.

    It is the version that forge.lock pins, or else the newest.

    Args:
        name: of the pack.
        project: the folder of forge.lock; the working directory where None.
    """
    packs = installed_packs(name)
    try:
        pins = read_lock(project or Path.cwd())
    except PackError as error:
        return replace(packs[0], problem=error.lines[0]) if packs else None
    if pins is None:
        return _only_one(packs) if packs else None
    if name not in pins:
        return (
            replace(packs[0], problem=f"{LOCK} does not pin {name}: `forge recipe lock` does")
            if packs
            else None
        )
    version, sha256 = pins[name]
    same = tuple(pack for pack in packs if pack.use.version == version)
    if not same:
        missing = f"{LOCK} pins {name} {version}, which is not installed: forge recipe install it"
        nowhere = packs_folder() / name / version
        return InstalledPack(PackUse(name, version, sha256, "", ""), nowhere, "pack", (), missing)
    pack = _only_one(same)
    if pack.use.sha256 != sha256 and not pack.problem:
        return replace(
            pack,
            problem=f"{LOCK} pins {name} {version} as {sha256[:12]}, and {pack.use.sha256[:12]} is installed: "
            f"install the one that is pinned",
        )
    return pack


def _only_one(packs: tuple[InstalledPack, ...]) -> InstalledPack:
    """Return the first, which is the newest; packs from two places under one name have a problem."""
    from_python = [pack for pack in packs if pack.kind == _PYTHON_PACKAGE]
    if from_python and len(packs) > 1:
        others = (
            "two Python packages" if len(from_python) > 1 else "a Python package and `forge recipe install`"
        )
        return replace(packs[0], problem=f"{others} bring a pack {packs[0].use.name}: remove one of them")
    return packs[0]


def read_lock(project: Path) -> Pins | None:
    """Return what the forge.lock of a folder pins; None where there is none.

    Raises:
        PackError: it is no lock.
    """
    if not os.path.lexists(project / LOCK):
        return None
    if not (project / LOCK).is_file():
        raise PackError(f"{LOCK}: is no file: remove it, and `forge recipe lock` writes one")
    try:
        content = (project / LOCK).read_bytes()
    except OSError as error:
        raise PackError(f"{LOCK}: cannot be read: {error.strerror}") from None
    value = read_json(content, "lock", LOCK)
    return {pack["name"]: (pack["version"], pack["sha256"]) for pack in value["packs"]}


def lock_bytes(pins: Pins) -> bytes:
    """Return the content of a forge.lock."""
    packs = [
        {"name": name, "version": version, "sha256": sha256}
        for name, (version, sha256) in sorted(pins.items())
    ]
    return json_bytes({"format": 1, "packs": packs})


def read_folder(folder: Path) -> dict[str, bytes]:
    """Return the files of an installed pack, without installed.json.

    Raises:
        PackError: something is there that no pack holds.
    """
    members: dict[str, bytes] = {}
    for path in sorted(folder.glob("**/*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() and not path.is_symlink():
            continue
        if name == INSTALLED:
            continue
        if path.is_symlink() or not path.is_file() or not is_member_name(name):
            raise PackError(f"{name} was put there")
        if path.stat().st_size > MAX_MEMBER_BYTES:
            raise PackError(f"{name} was changed")
        members[name] = path.read_bytes()
    if MANIFEST not in members:
        raise PackError(f"{MANIFEST} is missing")
    return members


def _from_files(name: str | None) -> Iterator[InstalledPack]:
    """Yield the packs that `forge recipe install` has put there."""
    if name is not None and not _PACK_NAME.match(name):
        return
    for folder in _version_folders(name or "*"):
        yield _read_installed(folder)


def _version_folders(name: str) -> list[Path]:
    """Return the folders of installed packs, without what an install has not finished."""
    try:
        folders = sorted(packs_folder().glob(f"{name}/*"))
    except OSError:
        return []
    hidden = (any(part.startswith(".") for part in (folder.name, folder.parent.name)) for folder in folders)
    return [folder for folder, out in zip(folders, hidden, strict=True) if not out and folder.is_dir()]


def _read_installed(folder: Path) -> InstalledPack:
    name, version = folder.parent.name, folder.name
    again = f"forge recipe remove {name}, and install it again"
    unknown = PackUse(name, version, "", "", "")
    try:
        members = read_folder(folder)
        record = json.loads((folder / INSTALLED).read_bytes())
        use = PackUse(
            name,
            version,
            hashlib.sha256(encode(members)).hexdigest(),
            str(record["signer"]),
            str(record["fingerprint"]),
        )
        manifest = read_manifest(members[MANIFEST], name)
        check_files(manifest, members, name)
    except PackError as error:
        return InstalledPack(
            unknown, folder, "pack", (), f"was changed after it was installed ({error}): {again}"
        )
    except (OSError, ValueError, KeyError, TypeError):
        return InstalledPack(unknown, folder, "pack", (), f"cannot be read: {again}")
    recipes = _choosable(name, (path for path in members if path.startswith("recipes/")))
    if (manifest.name, manifest.version) != (name, version):
        problem = f"is {manifest.name} {manifest.version} in the folder of {name} {version}: {again}"
        return InstalledPack(use, folder, "pack", recipes, problem)
    if use.sha256 != record["sha256"]:
        return InstalledPack(use, folder, "pack", recipes, f"was changed after it was installed: {again}")
    return InstalledPack(use, folder, "pack", recipes, misfit(manifest))


def record_bytes(use: PackUse) -> bytes:
    """Return the content of installed.json: what was found when the pack was verified."""
    return json_bytes({"sha256": use.sha256, "signer": use.signer, "fingerprint": use.fingerprint})


def pack_file_name(name: str, version: str) -> str:
    """Return what the file of a pack is called: `acme-1.2.0.forge`."""
    return f"{name}-{version}{SUFFIX}"


def _from_python(name: str | None) -> Iterator[InstalledPack]:
    """Yield the packs of Python packages. A package is located, never imported: its code does not run."""
    from importlib.metadata import entry_points
    from importlib.util import find_spec

    for entry in entry_points(group=ENTRY_POINTS):
        # The package must be a top-level one: to find an inner one, Python would import what is around it.
        if (
            name not in (None, entry.name)
            or not _PACK_NAME.match(entry.name)
            or not entry.value.isidentifier()
        ):
            continue
        try:
            spec = find_spec(entry.value)
        except (ImportError, ValueError):
            continue
        for location in (spec.submodule_search_locations or ()) if spec else ():
            yield _python_pack(entry, Path(location))


def _python_pack(entry: Any, folder: Path) -> InstalledPack:
    files = sorted(
        path.relative_to(folder).as_posix()
        for part in ("recipes", "conf")
        for path in folder.glob(f"{part}/**/*.yaml")
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= MAX_MEMBER_BYTES
    )
    content = hashlib.sha256()
    problem = ""
    for path in files:
        try:
            content.update(f"{path} {hashlib.sha256((folder / path).read_bytes()).hexdigest()}\n".encode())
        except OSError as error:
            problem = f"{path} cannot be read: {error.strerror}"
    version = entry.dist.version if entry.dist else "0"
    use = PackUse(entry.name, version, content.hexdigest(), "", "")
    recipes = _choosable(entry.name, (path for path in files if path.startswith("recipes/")))
    if not recipes and not problem:
        problem = f"{entry.value}/recipes: has no recipe: the package is laid out as a pack is"
    return InstalledPack(use, folder, _PYTHON_PACKAGE, recipes, problem)


def _choosable(name: str, paths: Iterator[str]) -> tuple[str, ...]:
    stems = (path.removesuffix(".yaml").removeprefix("recipes/") for path in paths)
    return tuple(f"{name}/{stem}" for stem in sorted(stems) if is_option_name(stem.rpartition("/")[2]))
