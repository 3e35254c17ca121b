"""Whether the model recites what it was trained on: given 32 tokens of a training document, does it write the next 50?

A passage counts where the greedy continuation is the document's own, token for token (Carlini et al. 2022,
arXiv:2202.07646, who also found that it depends on how often a passage was read).
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet
import torch

from forge.data.loading import LEARNT, TokenShard, sequence_count
from forge.data.shuffle import permute
from forge.evaluate.intervals import wilson_95
from forge.plan.types import SchedulePlan
from forge.progress import Progress

Ints = npt.NDArray[np.int64]

PREFIX_TOKENS = 32
CONTINUED_TOKENS = 50
PASSAGE_TOKENS = PREFIX_TOKENS + CONTINUED_TOKENS

TRIES_A_SAMPLE = 20
"""Documents looked at for each passage wanted, where most are too short for one."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A run of tokens in one document and one training sequence."""

    row: int
    """Of the table of training documents."""
    start: int
    """In the stream, in tokens."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training has read."""

    documents: pa.Table
    """documents.parquet of the tokens, the rows of the training."""
    shard: TokenShard
    sequence_length: int
    epochs: float
    """How often it went over the stream."""

    @classmethod
    def open(cls, tokens: Path, schedule: SchedulePlan) -> Trained:
        """Return what a training by `schedule` reads of a tokens artifact."""
        columns = ["document_id", "start", "tokens", "offset"]
        table = parquet.read_table(
            tokens / "documents.parquet", columns=columns, filters=[("split", "=", "train")]
        )
        shard = TokenShard.open(tokens, "train")
        sequences = sequence_count(len(shard), schedule.sequence_length)
        epochs = schedule.steps * schedule.global_batch_sequences / max(sequences, 1)
        return cls(table, shard, schedule.sequence_length, epochs)


def regurgitation(
    model: torch.nn.Module,
    trained: Trained,
    corpus: Path,
    samples: int,
    seed: int,
    batch_sequences: int,
    progress: Progress,
) -> dict[str, Any]:
    """Return how many of up to `samples` passages of training documents the model recites, and of which documents.

    Documents are drawn from the stream that was trained on, one passage each: a text that stands in it twice is drawn
    twice as likely. Passages begin anywhere in a document, but lie within one training sequence. Of conversations what
    is continued is an answer. `times_read` is the epochs times the copies of a document's text in the stream;
    `near_copies` are the documents of its family (`data.held_out_group_jaccard`) trained on, itself counted.

    Args:
        model: maps ids [n, length] to `.logits` [n, length, vocabulary].
        trained: what it was trained on.
        corpus: the corpus artifact the tokens are of.
        samples: how many passages to try.
        seed: of the draws.
        batch_sequences: passages in a forward pass.
        progress: told of passages.
    """
    passages = draw_passages(trained, samples, seed)
    recited = tokens_recited(model, trained.shard, passages, batch_sequences, progress)
    verbatim = [tokens == CONTINUED_TOKENS for tokens in recited]
    rows = [passage.row for passage in passages]
    times_read = [trained.epochs * copies for copies in copies_in_stream(trained, rows)]
    near_copies = family_sizes(corpus, trained.documents["document_id"].take(pa.array(rows, pa.int64())))
    return {
        "prefix_tokens": PREFIX_TOKENS,
        "continued_tokens": CONTINUED_TOKENS,
        "epochs": trained.epochs,
        "passages_asked": samples,
        **_rate(verbatim),
        "mean_tokens_recited": sum(recited) / len(recited) if recited else None,
        "by_times_read": _buckets(times_read, verbatim),
        "by_near_copies": _buckets(near_copies, verbatim),
    }


def draw_passages(trained: Trained, samples: int, seed: int) -> list[Passage]:
    """Return up to `samples` passages, one of a document, in the order they were drawn."""
    count = len(trained.documents)
    tries = np.arange(min(count, TRIES_A_SAMPLE * samples), dtype=np.int64)
    starts, lengths = (trained.documents[name].to_numpy() for name in ("start", "tokens"))
    generator = np.random.Generator(np.random.PCG64(seed % 2**64))
    passages: list[Passage] = []
    for row in permute(tries, count, seed, 0).tolist() if count else ():
        if len(passages) == samples:
            break
        places = _places(trained, int(starts[row]), int(lengths[row]))
        if len(places):
            passages.append(Passage(row, int(places[generator.integers(len(places))])))
    return passages


def _places(trained: Trained, start: int, length: int) -> Ints:
    """Return where a passage may begin in the document, or piece of one, at `start`."""
    # The marks of its borders are no text of a document; those within a conversation are learnt with it.
    inner = 0 if trained.shard.labels is not None else 1
    places = np.arange(start + inner, start + length - inner - PASSAGE_TOKENS + 1, dtype=np.int64)
    # A sequence ends with a target, the first token of the next.
    places = places[places % trained.sequence_length + PASSAGE_TOKENS <= trained.sequence_length + 1]
    if trained.shard.labels is None or not len(places):
        return places
    learnt = trained.shard.labels[start : start + length] & LEARNT != 0
    before = np.concatenate([[0], np.cumsum(learnt)])
    first = places - start + PREFIX_TOKENS
    own: Ints = places[before[first + CONTINUED_TOKENS] - before[first] == CONTINUED_TOKENS]
    return own


@torch.inference_mode()
def tokens_recited(
    model: torch.nn.Module,
    shard: TokenShard,
    passages: Sequence[Passage],
    batch_sequences: int,
    progress: Progress,
) -> list[int]:
    """Return of each passage how many tokens after its prefix the model writes as they are, at most all.

    Greedy decoding writes a text if and only if each of its tokens is the likeliest after those before it, so one
    forward pass over the whole passage tells.
    """
    device = next(model.parameters()).device
    progress.start(len(passages), "passages")
    recited: list[int] = []
    for first in range(0, len(passages), batch_sequences):
        some = passages[first : first + batch_sequences]
        ids = torch.from_numpy(np.stack([shard.window(one.start, PASSAGE_TOKENS) for one in some])).to(device)
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        likeliest = logits[:, PREFIX_TOKENS - 1 :].argmax(-1)
        right = likeliest == ids[:, PREFIX_TOKENS:]
        recited += right.long().cumprod(dim=1).sum(dim=1).tolist()
        progress.advance(len(some))
    return recited


def copies_in_stream(trained: Trained, rows: Sequence[int]) -> list[int]:
    """Return how often the text of each of `rows` stands in the stream, as a document or the same piece of one."""
    starts, lengths, offsets = (trained.documents[name].to_numpy() for name in ("start", "tokens", "offset"))

    def text(row: int) -> tuple[int, bytes]:
        own = trained.shard.tokens[int(starts[row]) : int(starts[row] + lengths[row])]
        return int(offsets[row]), hashlib.sha256(own.tobytes()).digest()

    wanted = {text(row) for row in rows}
    alike = np.flatnonzero(np.isin(lengths, lengths[list(rows)])).tolist() if rows else []
    counts = Counter(one for one in map(text, alike) if one in wanted)
    return [counts[text(row)] for row in rows]


def family_sizes(corpus: Path, document_ids: pa.ChunkedArray) -> list[int]:
    """Return how many training documents the family of each document has."""
    ids = document_ids.to_pylist()
    wanted = pa.array(sorted(set(ids)), pa.string())
    group_of = {
        identifier: group
        for table in _training_groups(corpus)
        for some in [table.filter(compute.is_in(table["document_id"], wanted))]
        for identifier, group in zip(some["document_id"].to_pylist(), some["group"].to_pylist(), strict=True)
    }
    groups = pa.array(sorted(set(group_of.values())), pa.string())
    sizes: Counter[str] = Counter()
    for table in _training_groups(corpus):
        sizes.update(table["group"].filter(compute.is_in(table["group"], groups)).to_pylist())
    return [sizes[group_of[identifier]] for identifier in ids]


def _training_groups(corpus: Path) -> Iterator[pa.Table]:
    with parquet.ParquetFile(corpus / "corpus.parquet") as file:
        for batch in file.iter_batches(columns=["document_id", "group", "split"]):
            table = pa.Table.from_batches([batch])
            yield table.filter(compute.equal(table["split"], "train"))


def _buckets(values: Sequence[float], verbatim: Sequence[bool]) -> list[dict[str, Any]]:
    """Return the rate among passages whose value is from a power of two to below the next, lowest first."""
    powers = [math.floor(math.log2(value)) for value in values]
    return [
        {"from": 2.0**power, "below": 2.0 ** (power + 1)}
        | _rate([one for one, own in zip(verbatim, powers, strict=True) if own == power])
        for power in sorted(set(powers))
    ]


def _rate(verbatim: Sequence[bool]) -> dict[str, Any]:
    recited = sum(verbatim)
    return {
        "passages": len(verbatim),
        "verbatim": recited,
        "verbatim_fraction": recited / len(verbatim) if verbatim else None,
        "verbatim_interval_95": list(wilson_95(recited, len(verbatim))),
    }
