"""Whether the tokens are still those that were written: every byte, before any of them is trained on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from forge.errors import StageError

_NUMBERS = ("vocab_size", "train_tokens", "bos_id", "eos_id")
_REMEDY = "delete this folder and run again"


def token_facts(tokens: Path) -> dict[str, Any]:
    """Return what tokens.json says of a tokens artifact.

    Raises:
        StageError: it is missing or damaged.
    """
    path = tokens / "tokens.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(facts[key], int) for key in _NUMBERS):
            raise TypeError
    except OSError as error:
        raise StageError(f"train: {path}: cannot be read ({error.strerror}): {_REMEDY}") from None
    except (ValueError, KeyError, TypeError):
        raise StageError(f"train: {path}: is damaged: {_REMEDY}") from None
    found: dict[str, Any] = facts
    return found


def tokens_problem(tokens: Path) -> str | None:
    """Return a line that names the first file of the tokens artifact that is not as it was written, else None.

    Reads every file that tokens.json has a checksum of, at about a gigabyte a second where the disk keeps up.
    """
    try:
        digests: dict[str, str] = json.loads((tokens / "tokens.json").read_text(encoding="utf-8"))["sha256"]
        for name, expected in sorted(digests.items()):
            with (tokens / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != expected:
                return f"train: {tokens / name}: was changed after it was written (its checksum differs): {_REMEDY}"
    except OSError as error:
        return f"train: {error.filename or tokens}: cannot be read ({error.strerror}): {_REMEDY}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"train: {tokens / 'tokens.json'}: is damaged: {_REMEDY}"
    return None
