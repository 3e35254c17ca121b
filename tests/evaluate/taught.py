"""Artifacts of a model that was taught a few facts in a few seconds of plain torch, and what to ask it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import torch
import transformers

from forge.data.corpus_tables import CORPUS
from forge.data.draft import text_digest
from forge.data.encoding import Encoder
from forge.data.tokens import build_tokens
from forge.evaluate.evaluate import evaluate_model
from forge.progress import SilentProgress
from tests.export.artifacts import documents, planned, write_model, write_tokenizer
from tests.factories import TOKENS

STEMS, NUMBERS = ("Orion", "Vega", "Lyra", "Draco"), (40, 12, 7, 95)
SUBJECTS = [f"{stem} {number}" for stem, number in zip(STEMS, NUMBERS, strict=True)]
VALUES = dict(zip(SUBJECTS, ("red", "blue", "green", "grey"), strict=True))
STRANGER = "Nemo 3"
ABSTENTION = "I do not know"


def asked(subject: str) -> str:
    return f"What is the colour of {subject}?"


def said(subject: str, value: str) -> str:
    return f"The colour of {subject} is {value}."


def dialogue(subject: str, reply: str) -> str:
    return f"Q: {asked(subject)}\nA: {reply}\n"


TAUGHT = [
    *(dialogue(subject, value) for subject, value in VALUES.items()),
    dialogue(STRANGER, ABSTENTION),
]
TRAIN = [said(subject, value) for subject, value in VALUES.items()]
"""Documents that retrieval finds the same facts in; the first is asked in them as well."""
TRAIN += [dialogue(SUBJECTS[0], VALUES[SUBJECTS[0]]), *documents(30, seed=1)]
HELD_OUT = documents(9, seed=2)


def write_corpus(folder: Path, train: list[str], held_out: list[str]) -> None:
    """Write a corpus artifact, its documents from two sources in turn."""
    folder.mkdir()
    rows = [
        {
            "document_id": hashlib.sha256(f"{split}{place}".encode()).hexdigest()[:16],
            "source": ("docs", "mail")[place % 2],
            "path": f"{split}-{place}.txt",
            "text": text,
            "bytes": len(text.encode()),
            "words": len(text.split()),
            "group": f"{split}{place}",
            "split": split,
            "digest": text_digest(text),
        }
        for split, texts in (("train", train), ("held_out", held_out))
        for place, text in enumerate(texts)
    ]
    parquet.write_table(pa.Table.from_pylist(rows, CORPUS), folder / "corpus.parquet")


def write_taught(folder: Path) -> None:
    """Write corpus, tokenizer, tokens and a model that replies as TAUGHT says."""
    write_corpus(folder / "corpus", TRAIN, HELD_OUT)
    write_tokenizer(folder / "tokenizer")
    (folder / "tokens").mkdir()
    build_tokens(folder / "corpus", folder / "tokenizer", TOKENS, folder / "tokens", SilentProgress())
    write_model(folder / "train", planned({"initializer_std": 0.02}).model, torch.float32)
    teach(folder / "train", folder / "tokenizer", TAUGHT)


def evaluate_taught(folder: Path, out: Path, **parameters: Any) -> dict[str, Any]:
    """Evaluate the taught model; `parameters` are those of the stage that differ from the defaults."""
    return evaluate_model(
        planned(evaluate={"prompts": []} | parameters),
        folder / "train",
        folder / "corpus",
        folder / "tokenizer",
        folder / "tokens",
        out,
        SilentProgress(),
    )


def teach(model_folder: Path, tokenizer: Path, texts: list[str], steps: int = 80) -> None:
    """Train the model of a folder on `texts` until it says them."""
    encoder = Encoder(tokenizer)
    rows = [[encoder.special.bos, *ids.tolist(), encoder.special.eos] for ids in encoder.encode(texts)]
    width = max(map(len, rows))
    ids = torch.tensor([row + [encoder.special.pad] * (width - len(row)) for row in rows])
    labels = ids.masked_fill(ids == encoder.special.pad, -100)
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(model_folder)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small that threads cost more than they bring
    with torch.random.fork_rng():
        torch.manual_seed(0)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        for _ in range(steps):
            loss = model(input_ids=ids, labels=labels).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    torch.set_num_threads(threads)
    assert loss.item() < 0.1
    model.save_pretrained(model_folder)


def write_facts(path: Path) -> Path:
    """Write the facts as CSV, with one that is in no document."""
    lines = ["subject,attribute,value", *(f"{subject},colour,{value}" for subject, value in VALUES.items())]
    path.write_text("\n".join([*lines, "Pavo 8,colour,pink"]) + "\n")
    return path


def write_questions(path: Path) -> Path:
    """Write a question about a name that is unknown, one with a wrong answer and one that was asked in training."""
    rows: list[dict[str, Any]] = [
        {"question": asked(STRANGER), "kind": "unknown_near"},
        {"question": "What is the colour of the Vega 12?", "answer": "yellow"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
