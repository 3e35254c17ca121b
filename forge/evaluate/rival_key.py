"""The key of the API of a general model, from the environment variable that the user names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from forge.errors import StageError


def api_key_of(parameters: Mapping[str, Any]) -> str | None:
    """Return the key in the environment variable that the evaluate stage's parameters name; None where they name none.

    Raises:
        StageError: the environment does not have it, or it holds what no header can.
    """
    name = parameters.get("rival_api_key_env")
    if name is None:
        return None
    key = os.environ.get(name, "").strip()
    if not key:
        raise StageError(
            f"evaluate.rival_api_key_env: {name}: is not set in this environment: export it, then give the same "
            "command again"
        )
    if not (key.isascii() and key.isprintable()):
        raise StageError(
            f"evaluate.rival_api_key_env: {name}: holds characters that no key has: export the key alone"
        )
    return key
