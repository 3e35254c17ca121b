"""The identity of a model's folder: its config.json and weights, whatever lies beside them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from forge.data.fingerprint import SourceFingerprint, fingerprint
from forge.progress import Progress


def fingerprint_model(
    folder: Path, cache: Path | None, progress: Progress | None = None
) -> SourceFingerprint:
    """Return a SHA-256 over the names and contents of config.json and *.safetensors, and how large they are.

    Every byte is read once; `cache` then spares reading what has not changed, as for documents.

    Raises:
        StageError: a file is not there.
    """
    digest = hashlib.sha256()
    files = size = 0
    for path in (folder / "config.json", *sorted(folder.glob("*.safetensors"))):
        found = fingerprint(str(path), cache, progress)
        digest.update(f"{path.name}\0{found.sha256}\n".encode())
        files, size = files + 1, size + found.bytes
    return SourceFingerprint(files, size, digest.hexdigest())
