"""Put a verified pack where recipes are looked up, take one away, pin what a project uses."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from forge.errors import PackError
from forge.files import replace_bytes, sync_tree
from forge.locks import take_lock
from forge.recipes.check import write_members
from forge.recipes.verify import Verified
from forge.spec.pack_manifest import version_key
from forge.spec.packs import (
    INSTALLED,
    LOCK,
    InstalledPack,
    Pins,
    installed_packs,
    lock_bytes,
    packs_folder,
    read_lock,
    record_bytes,
)
from forge.spec.text import printable, shortened

_LOCK_FILE = ".lock"


def install_pack(pack: Verified, project: Path, trusted: str = "") -> tuple[Path, tuple[str, ...]]:
    """Install a verified pack, and return its folder and notes. One that is there already stays as it is.

    Args:
        pack: as `verify_pack` found it.
        project: the folder whose forge.lock has a say.
        trusted: fingerprint of the key that the user names for this pack, if any.

    Raises:
        PackError: forge.lock pins another, another of that version is there, another key signed the one that is
            there, or a Python package brings a pack of that name.
    """
    use = pack.use
    notes = _held_to_lock(pack, project)
    _never_in_the_place_of_another(pack, trusted)
    folder = packs_folder() / use.name / use.version
    with _packs_locked():
        for there in installed_packs(use.name):
            if there.use.version == use.version and there.kind == "pack":
                if there.use.sha256 == use.sha256 and not there.problem:
                    return folder, (*notes, f"{use.name} {use.version} is installed already")
                what = there.problem or f"is installed with other content ({there.use.sha256[:12]})"
                raise PackError(f"{use.name} {use.version}: {what}: forge recipe remove {use.name} first")
        beside = folder.with_name(f".{use.version}.{os.getpid()}")
        try:
            write_members(beside, pack.members)
            (beside / INSTALLED).write_bytes(record_bytes(use))
            sync_tree(beside)
            beside.rename(folder)
        except OSError as error:
            raise PackError(f"{folder}: cannot be written: {error.strerror}") from None
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return folder, notes


def remove_pack(name: str) -> tuple[str, ...]:
    """Take every version of a pack away, and return what they were.

    Raises:
        PackError: no such pack was installed by forge.
    """
    packs = installed_packs(name)
    versions = tuple(pack.use.version for pack in packs if pack.kind == "pack")
    if not versions:
        if packs:
            raise PackError(f"{name}: comes with a Python package: pip uninstall that")
        names = sorted({pack.use.name for pack in installed_packs() if pack.kind == "pack"})
        there = f"there are: {', '.join(names)}" if names else "there are none"
        raise PackError(f"{shortened(printable(name))}: no such pack. {there}")
    with _packs_locked():
        folder = packs_folder() / name
        beside = folder.with_name(f".{name}.{os.getpid()}")
        try:
            folder.rename(beside)
        except OSError as error:
            raise PackError(f"{folder}: cannot be removed: {error.strerror}") from None
        shutil.rmtree(beside, ignore_errors=True)
    return versions


def lock_packs(project: Path) -> tuple[InstalledPack, ...]:
    """Pin the newest version of every pack there is in a folder's forge.lock, and return them.

    Raises:
        PackError: a pack cannot be used, or two places bring one name.
    """
    newest: dict[str, InstalledPack] = {}
    for pack in installed_packs():
        known = newest.setdefault(pack.use.name, pack)
        if known.kind != pack.kind:
            raise PackError(
                f"{pack.use.name}: is installed twice, once as a Python package: remove one of them"
            )
    if not newest:
        raise PackError(f"{LOCK}: there are no packs to pin: forge recipe install one")
    for pack in newest.values():
        if pack.problem:
            raise PackError(f"{pack.use.name} {pack.use.version}: {pack.problem}")
    pins: Pins = {name: (pack.use.version, pack.use.sha256) for name, pack in newest.items()}
    try:
        replace_bytes(project / LOCK, lock_bytes(pins))
    except OSError as error:
        raise PackError(f"{LOCK}: cannot be written: {error.strerror}") from None
    return tuple(newest.values())


def _held_to_lock(pack: Verified, project: Path) -> tuple[str, ...]:
    """Refuse what forge.lock pins otherwise; a newer version may be installed beside the one that is in force."""
    use = pack.use
    pins = read_lock(project)
    if pins is None or use.name not in pins:
        return ()
    version, sha256 = pins[use.name]
    if version == use.version and sha256 != use.sha256:
        raise PackError(
            f"{use.name} {use.version}: is {use.sha256[:12]}, and {LOCK} pins {sha256[:12]}: get the one that is pinned"
        )
    if version_key(use.version) < version_key(version):
        raise PackError(
            f"{use.name} {use.version}: is older than {version}, which {LOCK} pins: take it out of {LOCK} to go back"
        )
    if version != use.version:
        return (f"{LOCK} pins {use.name} {version}, which stays in force here: forge recipe lock moves it",)
    return ()


def _never_in_the_place_of_another(pack: Verified, trusted: str) -> None:
    """Refuse a pack that would take a name over from a Python package, or from whoever signed the one that is there."""
    use = pack.use
    for there in installed_packs(use.name):
        if there.kind != "pack":
            raise PackError(
                f"{use.name}: a Python package brings a pack of that name already: remove one of them"
            )
        same = there.use.fingerprint in ("", use.fingerprint)
        if not same and (not trusted or trusted != use.fingerprint):
            signed = f"with {use.fingerprint}" if use.fingerprint else "by nobody"
            trust = f", or add --trust {use.fingerprint}" if use.fingerprint else ""
            raise PackError(
                f"{use.name}: {there.use.version}, which is installed, is signed with {there.use.fingerprint}, and "
                f"{use.version} {signed}: ask its maker, then forge recipe remove {use.name}{trust}"
            )


@contextmanager
def _packs_locked() -> Iterator[None]:
    """Change the installed packs one process at a time, and clear what a killed one left half done."""
    folder = packs_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with take_lock(folder / _LOCK_FILE, float("inf")):
            for left in (*folder.glob(".*.*"), *folder.glob("*/.*.*")):
                shutil.rmtree(left, ignore_errors=True)
            yield
            for empty in folder.glob("*"):
                if empty.is_dir() and not any(empty.iterdir()):
                    empty.rmdir()
    except OSError as error:
        raise PackError(f"{folder}: cannot be written: {error.strerror}") from None
