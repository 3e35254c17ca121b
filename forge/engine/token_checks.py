"""Whether the tokens are still those that were written: every byte, before any of them is trained on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path


def tokens_problem(tokens: Path) -> str | None:
    """Return a line that names the first file of the tokens artifact that is not as it was written, else None.

    Reads every file that tokens.json has a checksum of, at about a gigabyte a second where the disk keeps up.
    """
    remedy = "delete this folder and run again"
    try:
        digests: dict[str, str] = json.loads((tokens / "tokens.json").read_text(encoding="utf-8"))["sha256"]
        for name, expected in sorted(digests.items()):
            with (tokens / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != expected:
                return f"train: {tokens / name}: was changed after it was written (its checksum differs): {remedy}"
    except OSError as error:
        return f"train: {error.filename or tokens}: cannot be read ({error.strerror}): {remedy}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"train: {tokens / 'tokens.json'}: is damaged: {remedy}"
    return None
