"""Carries out one stage as forge-run does, in small shards: `python -m tests.data.resume_child STAGE ROOT SOURCE N`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from forge.data import batches, corpus, encoded, lake, tables, tasks, tokenizer, tokens
from forge.files import WORK_FOLDER
from forge.plan.types import StagePlan
from forge.progress import Progress, SilentProgress
from forge.run.artifacts import artifact_folder, make_artifact
from tests.data.builders import CORPUS, LAKE
from tests.factories import TOKENS, tokenizer_defaults

STAGES = ("lake", "corpus", "tokenizer", "tokens")


class Telling(SilentProgress):
    """Says on the standard output when work begins, and what of it an earlier process did."""

    def start(self, total: float, unit: str) -> None:
        print("begun", flush=True)

    def resume(self, amount: float) -> None:
        print("resumed", flush=True)


def plan(stage: str) -> StagePlan:
    return StagePlan(stage, (), {}, "0123456789ab")


def carry_out(stage: str, root: Path, source: str, workers: int, progress: Progress) -> None:
    """Make the artifact of a stage; the ones before it are there."""
    inputs = {name: artifact_folder(root, plan(name)) for name in STAGES}

    def make(out: Path) -> dict[str, Any]:
        work = out / WORK_FOLDER
        match stage:
            case "lake":
                return lake.build_lake([source], LAKE, out, progress, workers, work=work)
            case "corpus":
                parameters = CORPUS | {"curate": [*CORPUS["curate"], "paragraphs"]}
                return corpus.build_corpus(inputs["lake"], parameters, out, progress, workers, work)
            case "tokenizer":
                parameters = tokenizer_defaults() | {"vocab_size": 1_000}
                return tokenizer.train_tokenizer(inputs["corpus"], parameters, out, progress)
            case _:
                parameters = TOKENS | {"packing": "best_fit", "sequence_length": 256}
                return tokens.build_tokens(
                    inputs["corpus"], inputs["tokenizer"], parameters, out, progress, workers, work
                )

    make_artifact(root, plan(stage), make, lambda: None)


def make_shards_small() -> None:
    """Cut work into many shards, so that a kill comes between them as well as within."""
    lake.SMALL_BYTES = 0
    batches.BATCH_FILES = 8
    tables.ROW_GROUP_ROWS = 32
    tasks.BUCKET_BYTES = 200_000
    encoded.BLOCK_BYTES = 30_000


if __name__ == "__main__":
    name, place, documents, count = sys.argv[1:]
    make_shards_small()
    carry_out(name, Path(place), documents, int(count), Telling())
