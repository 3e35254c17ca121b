"""Make a pack: a folder of recipes, checked, with the evidence of runs, signed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from forge.errors import PackError
from forge.recipes.evidence import evidence_members
from forge.recipes.ssh_signature import sign, signing_key
from forge.recipes.verify import Trust, Verified, check_name, default_allowed_signers, verify_pack
from forge.spec.pack_format import MANIFEST, MAX_PACK_BYTES, SIGNATURE, encode, is_member_name
from forge.spec.pack_manifest import make_manifest
from forge.spec.packs import pack_file_name
from forge.spec.safe_yaml import MAX_BYTES
from forge.spec.text import printable


def make_pack(
    folder: Path, name: str, version: str, key: Path | None, runs: Sequence[Path]
) -> tuple[bytes, Verified, tuple[str, ...]]:
    """Return a pack's bytes, what verifying them found, and a note for each file that it does not take.

    The same folder, runs and key make the same bytes (with ECDSA and hardware keys, whose signatures are random, all
    but the signature).

    Args:
        folder: with recipes/*.yaml and perhaps conf/GROUP/*.yaml; or recipes alone, directly in it.
        name: of the pack.
        version: of the pack.
        key: the SSH key that signs it; None leaves it unsigned.
        runs: folders of finished runs, whose measurements it carries as evidence.

    Raises:
        PackError: something in it may not be, or could not be installed.
    """
    members, notes = _collect(folder)
    make_manifest(name, version, members)
    check_name(name, "command line")
    members |= evidence_members(members, name, runs)
    manifest = make_manifest(name, version, members)
    members[MANIFEST] = manifest
    if key is not None:
        members[SIGNATURE] = sign(manifest, key)
    content = encode(members)
    if len(content) > MAX_PACK_BYTES:
        raise PackError(
            f"{folder}: makes a pack of more than {MAX_PACK_BYTES // 1024**2} MiB: leave some out"
        )
    where = pack_file_name(name, version)
    own = signing_key(members[SIGNATURE], where).fingerprint if key else ""
    trust = Trust(default_allowed_signers(), own, allow_unsigned=key is None)
    return content, verify_pack(content, where, trust), notes


def _collect(folder: Path) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Return the recipes and options of a folder by their paths in the pack, and what else is there."""
    if not folder.is_dir():
        raise PackError(f"{folder}: is no folder: name the one with your recipes")
    members: dict[str, bytes] = {}
    notes = []
    if (folder / "recipes").is_dir():
        prefix = ""
        files = [*(folder / "recipes").glob("*"), *(folder / "conf").glob("*/*")]
    else:
        prefix, files = "recipes/", [*folder.glob("*")]
    for file in sorted(files):
        path = prefix + file.relative_to(folder).as_posix()
        if not is_member_name(path):
            notes.append(
                f"{printable(str(file))}: is left out: a pack holds recipes/*.yaml and conf/GROUP/*.yaml"
            )
            continue
        if file.is_symlink() or not file.is_file():
            raise PackError(f"{file}: is no plain file: put the file itself there")
        if file.stat().st_size > MAX_BYTES:
            raise PackError(f"{file}: is larger than {MAX_BYTES // 1024} KiB: a spec file is a few lines")
        try:
            members[path] = file.read_bytes()
        except OSError as error:
            raise PackError(f"{file}: cannot be read: {error.strerror}") from None
    if not members:
        raise PackError(f"{folder}: has no recipes: they are recipes/*.yaml, or *.yaml directly in it")
    return members, tuple(notes)
