"""SHA-256 of every exported file, in the form `sha256sum --check` reads."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

CHECKSUMS_FILE = "SHA256SUMS"


def write_checksums(folder: Path, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """Write `folder`/SHA256SUMS over the other files in it and return name -> SHA-256 (hex), sorted by name.

    A hash in `known` is taken as it is: it was made of the bytes on their way to the disk, and so can accuse the disk.
    """
    names = sorted(path.name for path in folder.iterdir() if path.name != CHECKSUMS_FILE)
    sums = {name: (known or {}).get(name) or _sha256(folder / name) for name in names}
    lines = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
    (folder / CHECKSUMS_FILE).write_text(lines, encoding="utf-8")
    return sums


def read_checksums(folder: Path) -> dict[str, str]:
    """Return name -> SHA-256 (hex) as `folder`/SHA256SUMS has it."""
    lines = (folder / CHECKSUMS_FILE).read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
