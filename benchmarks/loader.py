"""Tokens a second of one rank's batches, read as the engine reads them, beside what a GPU is predicted to train on.

    python -m benchmarks.loader

Documents of 500 tokens, in micro-batches of three shapes. A small model trains fastest, and asks most of the loader.
The aim is a hundred times what training takes.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch

from forge.data.loading import TokenShard
from forge.engine.batches import RankBatches
from forge.plan.compile import compile_plan
from forge.plan.machine import probe_machine
from forge.spec.compose import compose_spec
from tests.factories import BOS_ID, EOS_ID, tiny_plan, write_tokens

TOKENS = 16_000_000
BATCHES = 300
SHAPES = ((1024, 16), (4096, 8), (8192, 2))
"""Sequence length, sequences in a micro-batch."""
TRAINED = ("model=llama_125m", "model=llama_1b", "model=llama_7b")


def loaded_tokens_per_second(tokens: Path, length: int, rows: int) -> float:
    """Return the rate of one thread that reads batches of `rows` sequences of `length`."""
    plan = tiny_plan(
        layout={"micro_batch_sequences": rows},
        schedule={"global_batch_sequences": rows, "sequence_length": length, "steps": BATCHES},
    )
    batches = RankBatches(plan, TokenShard.open(tokens, "train"), 0, torch.device("cpu"), BOS_ID, EOS_ID)
    began_s = time.perf_counter()
    for step in range(BATCHES):
        for _ in batches.step(step):
            pass
    return BATCHES * rows * length / (time.perf_counter() - began_s)


def trained_tokens_per_second(model: str) -> float:
    """Return what the plan predicts for a model on one H100."""
    spec = compose_spec(["+recipe=legal_1b", model, "hardware=1xh100", "data.path=null"])
    return compile_plan(spec.values, "1xh100", probe_machine(), ()).estimates.tokens_per_second


def main() -> None:
    """Print the table."""
    trained = {model: trained_tokens_per_second(model) for model in TRAINED}
    print(
        "| sequences x length | tokens/s read |" + "".join(f" of {model} on an H100 |" for model in TRAINED)
    )
    print("|---|---|" + "---|" * len(TRAINED))
    with tempfile.TemporaryDirectory() as folder:
        tokens = write_tokens(Path(folder), train_tokens=TOKENS, document_tokens=500)
        for length, rows in SHAPES:
            rate = loaded_tokens_per_second(tokens, length, rows)
            ratios = "".join(f" {rate / trained[model]:.0f}x |" for model in TRAINED)
            print(f"| {rows} x {length} | {rate / 1e6:.1f} M |{ratios}")


if __name__ == "__main__":
    main()
