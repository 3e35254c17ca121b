"""Keeping out of training what a model is to be examined on.

A document that shares a run of `decontaminate_words` words with an evaluation file is set aside (13 words: Brown et al.
2020, arXiv:2005.14165, appendix C).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from forge.data.decode import DecodeError, decode
from forge.data.draft import Draft, Finding
from forge.data.shingles import shingles
from forge.data.word_codes import Uint64, word_codes
from forge.errors import StageError


def evaluation_shingles(paths: list[str], words: int) -> Uint64:
    """Return the runs of `words` words of all evaluation files, sorted. A shorter text counts as one run.

    In a .jsonl or .json file every string is a text; any other file is one.

    Raises:
        StageError: a file cannot be read, or none holds a word.
    """
    found = [shingles(one.codes, words) for path in paths for one in word_codes(list(_texts(Path(path))))]
    runs = np.unique(np.concatenate([*found, np.empty(0, np.uint64)]))
    if not len(runs):
        raise StageError(
            "data.evaluation_files: no word in them: name files, or drop `decontaminate` from data.curate"
        )
    return runs


def contaminated(draft: Draft, runs: Uint64, parameters: dict[str, Any]) -> Finding | None:
    """Set aside a document that shares one of `runs`."""
    own = shingles(draft.words.codes, parameters["decontaminate_words"])
    found = int(np.isin(own, runs, assume_unique=True).sum())
    if not found:
        return None
    detail = f"{found} runs of {parameters['decontaminate_words']} words are in the evaluation files"
    return Finding("evaluation text", detail, float(found))


def _texts(path: Path) -> Iterator[str]:
    try:
        text, _ = decode(path.read_bytes())
    except OSError as error:
        raise StageError(
            f"data.evaluation_files: {path}: cannot be read ({error.strerror}): name another"
        ) from None
    except DecodeError as error:
        raise StageError(f"data.evaluation_files: {path}: {error.detail}: name a text file") from None
    if path.suffix not in (".jsonl", ".json"):
        yield text
        return
    for line in text.splitlines() if path.suffix == ".jsonl" else [text]:
        if line.strip():
            try:
                yield from _strings(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise StageError(f"data.evaluation_files: {path}: not JSON ({error}): mend it") from None


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _strings(one)
