"""The manifest of a pack: its name and version, which forge reads it, the hash of every file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from forge import __version__
from forge.errors import PackError
from forge.spec.pack_format import MANIFEST, SIGNATURE
from forge.spec.schema import validator
from forge.spec.text import printable, shortened

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a pack says it is."""

    name: str
    version: str
    forge_from: str
    forge_below: str
    files: dict[str, tuple[int, str]]
    """Path to (bytes, SHA-256)."""


def make_manifest(name: str, version: str, files: Mapping[str, bytes]) -> bytes:
    """Return the manifest of a pack made by this forge.

    Raises:
        PackError: name or version has not the form it must have.
    """
    from_version, below = forge_range(__version__)
    content = {
        "format": FORMAT,
        "name": name,
        "version": version,
        "forge": {"from": from_version, "below": below},
        "files": [
            {"path": path, "bytes": len(files[path]), "sha256": hashlib.sha256(files[path]).hexdigest()}
            for path in sorted(files)
        ],
    }
    check_schema(content, "pack", "command line")
    return json_bytes(content)


def read_manifest(content: bytes, where: str) -> Manifest:
    """Read a manifest.

    Args:
        content: of `manifest.json`.
        where: what messages call the pack.

    Raises:
        PackError: it is not what `make_manifest` makes.
    """
    value = read_json(content, "pack", f"{where}: {MANIFEST}")
    files = {file["path"]: (file["bytes"], file["sha256"]) for file in value["files"]}
    if list(files) != sorted(files) or len(files) < len(value["files"]):
        raise PackError(f"{where}: {MANIFEST}: names a file twice or out of order: refused")
    span = value["forge"]
    return Manifest(value["name"], value["version"], span["from"], span["below"], files)


def check_files(manifest: Manifest, members: Mapping[str, bytes], where: str) -> None:
    """Check that a pack holds what its manifest says, and nothing else.

    Raises:
        PackError: a file is missing, is not named, or is another.
    """
    held = {name for name in members if name not in (MANIFEST, SIGNATURE)}
    for path in sorted(set(manifest.files) - held):
        raise PackError(
            f"{where}: {shortened(printable(path))}: is in the manifest and not in the pack: refused"
        )
    for path in sorted(held - set(manifest.files)):
        raise PackError(f"{where}: {path}: is in the pack and not in its manifest: refused")
    for path, (size_bytes, sha256) in manifest.files.items():
        if len(members[path]) != size_bytes or hashlib.sha256(members[path]).hexdigest() != sha256:
            raise PackError(f"{where}: {path}: is not the file that the manifest names: refused")


def misfit(manifest: Manifest) -> str:
    """Return why this forge does not read the pack; '' where it does."""
    here = version_key(__version__)
    if version_key(manifest.forge_from) <= here < version_key(manifest.forge_below):
        return ""
    return (
        f"is for forge {manifest.forge_from} and later, below {manifest.forge_below}; this is {__version__}: "
        "get a version of it for this one"
    )


def forge_range(version: str) -> tuple[str, str]:
    """Return the first version of forge that reads what `version` packs, and the first that may read it otherwise.

    Below 1.0 a new second number may change recipes, later a new first one (Semantic Versioning 2.0.0).
    """
    major, minor, patch = version_key(version)
    below = f"0.{minor + 1}.0" if major == 0 else f"{major + 1}.0.0"
    return f"{major}.{minor}.{patch}", below


def version_key(version: str) -> tuple[int, int, int]:
    """Return the numbers of a version, for comparison; 0 for those it has not."""
    numbers = [int(number) for number in re.findall(r"\d+", version)[:3]]
    major, minor, patch = (*numbers, 0, 0, 0)[:3]
    return major, minor, patch


def json_bytes(content: Any) -> bytes:
    """Return JSON in the one form in which forge writes it into a pack."""
    return (json.dumps(content, indent=2, allow_nan=False, ensure_ascii=True) + "\n").encode()


def read_json(content: bytes, schema: str, where: str) -> Any:
    """Read JSON that `json_bytes` wrote, and hold it to a schema.

    Raises:
        PackError: it is not JSON, in another form (a key twice, a number that is none), or not what the schema says.
    """
    try:
        value = json.loads(content)
        same = json_bytes(value) == content
        check_schema(value, schema, where)
    except ValueError:
        raise PackError(f"{where}: is not JSON: refused") from None
    except RecursionError:
        raise PackError(f"{where}: is nested without end: refused") from None
    if not same:
        raise PackError(f"{where}: is not in the form that forge writes: refused")
    return value


def check_schema(value: Any, schema: str, where: str) -> None:
    """Hold a value to `schemas/<schema>.schema.json`.

    Raises:
        PackError: naming the first place that breaks it.
    """
    # To Python's `$` a line break may follow; to a schema's it may not.
    if any(printable(text) != text for text in _strings(value)):
        raise PackError(f"{where}: holds control characters: remove them")
    for error in validator(schema).iter_errors(value):
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
        named = f"{shortened(printable(path.lstrip('.')))}: " if path else ""
        form = error.schema.get("x-forge-form") if isinstance(error.schema, dict) else None
        what = f"must be {form}" if form else shortened(printable(error.message), 80)
        raise PackError(f"{where}: {named}{what}")


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, child in value.items():
            yield key
            yield from _strings(child)
    elif isinstance(value, list):
        for child in value:
            yield from _strings(child)
