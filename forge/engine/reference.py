"""The reference stage: what the model that preferences are learnt from says of both answers of each pair.

One forward pass over all pairs, by the engine that trains and in its precision, dealt to the ranks as batches are. What
is finished is kept in a journal beside the artifact, and any number of processes goes on with it.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save

from forge.data.journal import JournalledFile
from forge.data.loading import SPLITS, TokenShard, batch_positions, load_batch, sequence_count
from forge.data.pairs import REFERENCE_FACTS, REFERENCE_FILE, pairs_in
from forge.engine.batches import rank_positions
from forge.engine.distributed import Place, from_each_rank, from_rank_0, sum_over_ranks
from forge.engine.documents import Documents
from forge.engine.events import append_event
from forge.engine.loss import target_nats
from forge.engine.preference_loss import answer_log_probabilities, spans_of
from forge.engine.reference_parts import part_of
from forge.engine.token_checks import token_facts
from forge.engine.worker import Surroundings, build_beside_check, check
from forge.errors import StageError
from forge.files import replace_bytes, replace_text
from forge.plan.types import Plan

BLOCK_TURNS = 8
"""Forward passes of each rank between two entries in the journal."""

RECORD = np.dtype([("start", "<i8"), ("log_probabilities", "<f4", (2,))])
"""Of a pair: its place in the stream, and both answers."""


def refer(plan: Plan, tokens: Path, around: Surroundings, place: Place) -> None:
    """Write reference.safetensors and reference.json to `around.out`; all ranks call it.

    Of each split there are `<split>.starts`, int64 [pairs], and `<split>.log_probabilities`, fp32 [pairs, 2].

    Raises:
        StageError: plan and tokens do not fit, the tokens were changed, or a log-probability is not finite.
    """
    events_path, began_s = around.run_dir / "events.jsonl", time.monotonic()

    def tell(event: str, **fields: Any) -> None:
        if place.rank == 0:
            append_event(events_path, event, **fields)

    facts = token_facts(tokens)
    check(plan, facts, place)
    shards = {split: TokenShard.open(tokens, split) for split in SPLITS}
    length = plan.schedule.sequence_length
    sequences = {split: sequence_count(len(shard), length) for split, shard in shards.items()}
    engine = build_beside_check(plan, tokens, shards["train"].pad_id, place, around.run_dir)
    engine.eval()
    before = 0
    for split, shard in shards.items():
        reader = _Reader(engine, plan, shard, facts["bos_id"], facts["eos_id"], place)

        def told(done: int, before: int = before) -> None:
            tell("reference", sequences_done=before + done, sequences=sum(sequences.values()))

        if not _read_split(reader, sequences[split], part_of(around.out, split), around, told):
            tell("reference_end", ending="stopped")
            return
        before += sequences[split]
    if place.rank == 0:
        _write(around.out, time.monotonic() - began_s)
    tell("reference_end", ending="done")


class _Reader:
    """Says what the network of an engine makes of the pairs of some sequences."""

    def __init__(
        self, engine: Any, plan: Plan, shard: TokenShard, bos_id: int, eos_id: int, place: Place
    ) -> None:
        self._engine = engine
        self._shard = shard
        self._ids = bos_id, eos_id
        self.plan = plan
        self.place = place

    @torch.no_grad()
    def read(self, first: int, end: int) -> np.ndarray:
        """Return the RECORDs of this rank's share of sequences `first` to `end`; at most a micro-batch a rank.

        Every rank makes a forward pass, as ZeRO stage 3 needs, one that has no share on a sequence that does not count.
        """
        plan, place, length = self.plan, self.place, self.plan.schedule.sequence_length
        micro_batch = plan.layout.micro_batch_sequences
        wanted = first + np.array(rank_positions(0, place.rank, place.world_size, micro_batch))
        counts = wanted < end
        indices = np.where(counts, wanted, 0)
        inputs, targets = load_batch(self._shard, indices, length)
        positions = batch_positions(self._shard, indices, inputs, *self._ids)
        nats, _ = target_nats(
            self._engine,
            torch.from_numpy(inputs).to(place.device),
            torch.from_numpy(targets).to(place.device),
            plan.model,
            plan.layout.loss_chunks,
            Documents.at(positions, place.device),
        )
        pairs = pairs_in(self._shard, indices, length)
        pairs = pairs.where(counts[pairs.row])
        records = np.empty(len(pairs), RECORD)
        records["start"] = pairs.start
        records["log_probabilities"] = answer_log_probabilities(nats, spans_of(pairs)).cpu().numpy()
        return records


def _read_split(
    reader: _Reader, sequences: int, part: Path, around: Surroundings, told: Callable[[int], None]
) -> bool:
    """Append what is not there yet to `part`, rank 0 writing; return whether all is there and no stop was asked for."""
    place = reader.place
    turn_sequences = reader.plan.layout.micro_batch_sequences * place.world_size
    with ExitStack() as stack:
        file = None
        if place.rank == 0:
            part.parent.mkdir(exist_ok=True)
            file = stack.enter_context(JournalledFile(part))
        done = int(from_rank_0(file.noted[-1] if file and file.noted else 0, place))
        told(done)
        while done < sequences:
            end = min(done + BLOCK_TURNS * turn_sequences, sequences)
            records = []
            for turn in range(math.ceil((end - done) / turn_sequences)):
                records.append(reader.read(done + turn * turn_sequences, end))
                around.heartbeat.step(done + (turn + 1) * turn_sequences)
            block = np.sort(np.concatenate(from_each_rank(np.concatenate(records), place)), order="start")
            if not np.isfinite(block["log_probabilities"]).all():
                raise StageError(
                    "reference: the model that training starts from gives answers no finite log-probability: its "
                    "weights in model.init_from are broken"
                )
            if file:
                file.append(block.tobytes(), end)
            done = end
            told(done)
            (stops,) = sum_over_ranks([float(around.stop.asked())], place)
            if stops:
                return False
    return True


def _write(out: Path, time_s: float) -> None:
    tensors: dict[str, np.ndarray] = {}
    pairs = {}
    for split in SPLITS:
        records = np.fromfile(part_of(out, split), RECORD)
        tensors[f"{split}.starts"] = np.ascontiguousarray(records["start"])
        tensors[f"{split}.log_probabilities"] = np.ascontiguousarray(records["log_probabilities"])
        pairs[f"{split}_pairs"] = len(records)
    content = save(tensors)
    replace_bytes(out / REFERENCE_FILE, content)
    prefer = tensors["train.log_probabilities"]
    facts: dict[str, Any] = {
        **pairs,
        # Before any training: how often the preferred answer is the likelier one.
        "train_chosen_likelier_fraction": float(np.mean(prefer[:, 0] > prefer[:, 1])),
        "time_s": time_s,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    replace_text(out / REFERENCE_FACTS, json.dumps(facts, indent=2) + "\n")
