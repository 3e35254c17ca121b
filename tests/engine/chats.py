"""Tokens artifacts of short conversations, and of pairs of them, made by hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from forge.data.loading import BEGINS, LEARNT, PREFERRED, REJECTED
from tests.factories import BOS_ID, EOS_ID, PAD_ID

Draw = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]
"""Draws the tokens of a document and their labels."""


def write_chats(folder: Path, sequences: int = 24, length: int = 32, seed: int = 0) -> Path:
    """Write packed conversations of one or two turns and PAD into `folder`; return it.

    BOS, then turns of a question and its answer, each of them ending with EOS; answers count on from the question.
    Sequences differ much in how many of their tokens are learnt.
    """
    return _write(folder, sequences, length, seed, _conversation)


def write_pairs(folder: Path, sequences: int = 24, length: int = 64, seed: int = 0) -> Path:
    """Write packed pairs of conversations and PAD into `folder`; return it.

    Tokens of preferred answers are from 100 on, those of the others from 150 on; questions are alike.
    """
    return _write(folder, sequences, length, seed, _pair)


def _write(folder: Path, sequences: int, length: int, seed: int, draw: Draw) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    source = np.random.default_rng(seed)
    facts: dict[str, Any] = {"dtype": "uint16", "packed_length": length, "labels": True, "sha256": {}}
    rows = []
    for split, count in (("train", sequences), ("held_out", 4)):
        ids = np.full(count * length + 1, PAD_ID, np.uint16)
        labels = np.zeros(count * length + 1, np.uint8)
        for sequence in range(count):
            at, end = sequence * length, (sequence + 1) * length
            while True:
                some, marks = draw(source)
                if at + len(some) > end:
                    break
                ids[at : at + len(some)], labels[at : at + len(some)] = some, marks
                rows.append({"document_id": f"{split}-{at}", "split": split, "start": at})
                rows[-1] |= {"tokens": len(some), "bytes": int((marks & LEARNT).sum()), "offset": 0}
                at += len(some)
            if at < end:
                labels[at] = BEGINS
        labels[-1] = BEGINS
        for name, content in ((f"{split}.bin", ids), (f"{split}.labels.bin", labels)):
            (folder / name).write_bytes(content.tobytes())
            facts["sha256"][name] = hashlib.sha256(content.tobytes()).hexdigest()
        learnt = int((labels & LEARNT > 0).sum())
        facts |= {f"{split}_tokens": len(ids), f"{split}_bytes": learnt, f"{split}_learnt_tokens": learnt}
    parquet.write_table(pa.Table.from_pylist(rows), folder / "documents.parquet")
    facts |= {"vocab_size": 256, "bos_id": BOS_ID, "eos_id": EOS_ID, "pad_id": PAD_ID}
    (folder / "tokens.json").write_text(json.dumps(facts))
    return folder


def _pair(source: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    first = int(source.integers(3, 80))
    prompt = [BOS_ID, *range(first, first + source.integers(1, 6)), EOS_ID]
    ids, marks = [], []
    for begins, lowest, mark in ((BEGINS | PREFERRED, 100, LEARNT), (BEGINS, 150, REJECTED)):
        answer = source.integers(lowest, lowest + 50, source.integers(1, 8)).tolist()
        ids += [*prompt, *answer, EOS_ID]
        marks += [begins, *[0] * (len(prompt) - 1), *[mark] * (len(answer) + 1)]
    return np.array(ids, np.uint16), np.array(marks, np.uint8)


def _conversation(source: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    ids, marks = [BOS_ID], [BEGINS]
    for _ in range(source.integers(1, 3)):
        first = int(source.integers(3, 200))
        question, answer = int(source.integers(1, 6)), int(source.integers(1, 8))
        ids += [*range(first, first + question), EOS_ID]
        marks += [0] * (question + 1)
        ids += [*range(first + question, first + question + answer), EOS_ID]
        marks += [LEARNT] * (answer + 1)
    return np.array(ids, np.uint16), np.array(marks, np.uint8)
