"""Whether a pack is what it says: its form, its signature, its files, its recipes, in that order."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from forge.errors import PackError
from forge.recipes.check import check_recipes, write_members
from forge.recipes.evidence import Evidence, read_evidence
from forge.recipes.ssh_signature import SigningKey, check_signature, known_signer, signing_key
from forge.resources import data_dir
from forge.spec.pack_format import MANIFEST, SIGNATURE, SUFFIX, decode
from forge.spec.pack_manifest import Manifest, check_files, misfit, read_manifest
from forge.spec.search_path import config_folder, is_option_name
from forge.spec.types import PackUse

ALLOWED_SIGNERS = "allowed_signers"

_FILE_NAME = re.compile(rf"[a-z][a-z0-9_-]*-\d+\.\d+\.\d+{re.escape(SUFFIX)}\Z")


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom the user trusts, besides what is in the pack."""

    allowed_signers: Path
    fingerprint: str = ""
    """Of a key that is trusted for this pack although allowed_signers does not name it."""
    allow_unsigned: bool = False


@dataclass(frozen=True, slots=True)
class Verified:
    """A pack that is what it says."""

    use: PackUse
    manifest: Manifest
    members: Mapping[str, bytes]
    key: SigningKey | None
    """None where it is not signed."""
    recipes: tuple[str, ...]
    """That can be chosen, as `NAME/RECIPE`."""
    evidence: tuple[Evidence, ...]


def default_allowed_signers() -> Path:
    """Return the user's own file of known keys, in the form of ssh-keygen(1): `~/.config/forge/allowed_signers`."""
    return config_folder() / ALLOWED_SIGNERS


def verify_pack(content: bytes, where: str, trust: Trust, file_name: str = "") -> Verified:
    """Verify a pack.

    Args:
        content: of its file.
        where: what messages call it.
        trust: whom the user trusts.
        file_name: of its file, where it has one: `acme-1.2.0.forge` has to hold acme 1.2.0.

    Raises:
        PackError: with one line for the first thing that is wrong, and one each for what its recipes break.
    """
    members = decode(content, where)
    manifest = read_manifest(members[MANIFEST], where)
    named = f"{manifest.name}-{manifest.version}{SUFFIX}"
    if _FILE_NAME.match(file_name) and file_name != named:
        raise PackError(f"{where}: holds {manifest.name} {manifest.version}: it is not what its name says")
    key = _key(members, trust, where)
    signer = known_signer(members[MANIFEST], members[SIGNATURE], trust.allowed_signers) if key else ""
    if key is not None and trust.fingerprint and key.fingerprint != trust.fingerprint:
        raise PackError(f"{where}: is signed by {key.fingerprint}, and --trust asks for another key: refused")
    if key is not None and not signer and not trust.fingerprint:
        raise PackError(_unknown_key(key, trust, where))
    check_files(manifest, members, where)
    check_name(manifest.name, where)
    if problem := misfit(manifest):
        raise PackError(f"{where}: {problem}")
    evidence = tuple(
        read_evidence(members[path], f"{where}: {path}") for path in members if path.startswith("evidence/")
    )
    for each in evidence:
        if f"recipes/{each.recipe}.yaml" not in members:
            raise PackError(f"{where}: has evidence of {each.recipe}, which is no recipe of it: refused")
    fingerprint = key.fingerprint if key else ""
    use = PackUse(manifest.name, manifest.version, hashlib.sha256(content).hexdigest(), signer, fingerprint)
    with tempfile.TemporaryDirectory(prefix="forge-pack-") as folder:
        write_members(Path(folder), members)
        recipes = check_recipes(Path(folder), use)
    return Verified(use, manifest, members, key, recipes, evidence)


def check_name(name: str, where: str) -> None:
    """Refuse a pack whose name is that of a recipe of forge, or stands for a value on a command line.

    Raises:
        PackError: it is.
    """
    if not is_option_name(name):
        raise PackError(f"{where}: {name} reads as a constant: a pack needs another name")
    if (data_dir("recipes") / f"{name}.yaml").is_file():
        raise PackError(f"{where}: {name} is the name of a recipe of forge: a pack needs another")


def _key(members: Mapping[str, bytes], trust: Trust, where: str) -> SigningKey | None:
    """Return the key that signed a pack, None where none did and that is allowed."""
    if SIGNATURE not in members:
        if trust.fingerprint:
            raise PackError(f"{where}: is not signed, and --trust asks for a key: refused")
        if not trust.allow_unsigned:
            raise PackError(
                f"{where}: is not signed: ask for a signed one, or take it as it is with --allow-unsigned"
            )
        return None
    key = signing_key(members[SIGNATURE], where)
    check_signature(members[MANIFEST], members[SIGNATURE], where)
    return key


def _unknown_key(key: SigningKey, trust: Trust, where: str) -> str:
    return (
        f"{where}: is signed with a key that {trust.allowed_signers} does not know for packs: {key}: ask its maker "
        f"for the fingerprint, then add --trust {key.fingerprint}, or this line to that file: {key.signers_line}"
    )
