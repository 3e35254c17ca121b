"""Runs made by hand: a plan, events, and artifacts as the stages leave them, so that a page needs no training."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from forge.data.corpus_tables import CORPUS
from forge.data.draft import text_digest
from forge.data.records import SET_ASIDE as CORPUS_SET_ASIDE
from forge.data.rows import DOCUMENTS
from forge.data.rows import SET_ASIDE as LAKE_SET_ASIDE
from forge.plan.types import AlternativePlan, MemoryItem, Plan, SearchPlan, SourcePlan, plan_id, plan_to_json
from forge.run.artifacts import make_artifact
from tests.events import EVENT_VALIDATOR
from tests.factories import tiny_plan
from tests.summaries import HOSTILE, SUMMARIES

BEGAN = 1_700_000_000.0


def a_plan(steps: int = 6, **changes: Any) -> Plan:
    """Return a tiny plan with a prediction, a source, and a layout that was not chosen."""
    plan = tiny_plan(schedule={"steps": steps}, name=changes.pop("name", "tiny"))
    estimates = replace(
        plan.estimates,
        memory=(MemoryItem("parameters", 3 * 1024**2), MemoryItem("process", 5 * 1024**2)),
        peak_memory_bytes=8 * 1024**2,
        available_memory_bytes=16 * 1024**2,
        step_time_s=0.5,
        tokens_per_second=256.0,
        training_time_s=0.5 * steps,
        wall_clock_s=0.75 * steps,
        cost_usd=3.0,
        gpu_hours=1.5,
    )
    other = AlternativePlan("ZeRO-3, micro-batch 1", 1, 9 * 1024**2, 0.7, 4.2, 4.5)
    too_large = AlternativePlan("ZeRO-1, micro-batch 64", 1, 99 * 1024**2, 0.7, 4.2, None)
    content: dict[str, Any] = {
        "sources": (SourcePlan(HOSTILE, 4, 1_000, "a" * 64),),
        "estimates": estimates,
        "search": SearchPlan("wall_clock", 12, (other,), (too_large,)),
        "spec": {
            "name": plan.name,
            "train": {"learning_rate": 0.003, "steps": steps},
            "data": {"path": HOSTILE},
        },
    } | changes
    plan = replace(plan, **content)
    return replace(plan, id=plan_id(replace(plan, id="")))


def step_event(step: int, **changes: Any) -> dict[str, Any]:
    """Return the event of a step."""
    event = {
        "time": BEGAN + 10 + step,
        "event": "step",
        "step": step,
        "tokens": 128 * step,
        "epoch": 0.1,
        "phase": None,
        "source_tokens": None,
        "loss": 2 + 6 * math.exp(-step / 100),
        "smoothed_loss": 2.1 + 6 * math.exp(-step / 100),
        "learning_rate": 0.003,
        "gradient_norm": 1.0,
        "loss_scale": None,
        "reward_margin": None,
        "preference_accuracy": None,
        "expert_load": None,
        "expert_load_max_over_mean": None,
        "step_time_s": 0.5,
        "data_time_s": 0.0,
        "tokens_per_second": 256.0,
        "model_flops_utilization": 0.4,
        "peak_memory_bytes": 7_000_000,
    } | changes
    return event


def train_start(step: int, resumed_from: int | None, steps: int, time: float = BEGAN + 10) -> dict[str, Any]:
    """Return the event of workers that begin."""
    return {
        "time": time,
        "event": "train_start",
        "step": step,
        "resumed_from": resumed_from,
        "steps": steps,
        "start_up_s": 2.0,
    }


def evaluation_event(step: int, loss: float) -> dict[str, Any]:
    """Return the event of a measurement of held-out loss."""
    return {
        "time": BEGAN + 10 + step,
        "event": "evaluation",
        "step": step,
        "held_out_loss": loss,
        "held_out_tokens": 100,
        "evaluation_time_s": 0.5,
        "held_out_reward_margin": None,
        "held_out_preference_accuracy": None,
    }


def write_events(run_dir: Path, events: Iterable[Mapping[str, Any]]) -> None:
    """Append events, each held against the schema."""
    run_dir.mkdir(parents=True, exist_ok=True)
    with (run_dir / "events.jsonl").open("a", encoding="utf-8") as file:
        for event in events:
            EVENT_VALIDATOR.validate(event)
            file.write(json.dumps(event) + "\n")


def begin_run(root: Path, plan: Plan) -> Path:
    """Write the folder of a run that has only a plan; return it."""
    run_dir = root / "runs" / f"{plan.name}-{plan.id}"
    run_dir.mkdir(parents=True)
    (run_dir / "plan.json").write_text(plan_to_json(plan), encoding="utf-8")
    return run_dir


def finished_run(root: Path, steps: int = 6, bits: float = 1.75, **changes: Any) -> Path:
    """Write a run whose stages are all done; return its folder."""
    plan = a_plan(steps, **changes)
    run_dir = begin_run(root, plan)
    write_events(
        run_dir,
        [
            train_start(0, None, steps),
            *(step_event(step) for step in range(1, steps + 1)),
            evaluation_event(steps, 2.5),
            {
                "time": BEGAN + 11 + steps,
                "event": "checkpoint",
                "step": steps,
                "stall_s": 0.1,
                "write_s": 0.2,
            },
        ],
    )
    for stage in plan.stages:
        summary = SUMMARIES[stage.name] | (
            {"held_out_bits_per_byte": bits} if stage.name == "evaluate" else {}
        )
        make_artifact(root / "artifacts", stage, _maker(stage.name, summary), lambda: None)
    return run_dir


def _maker(name: str, summary: dict[str, Any]) -> Callable[[Path], dict[str, Any]]:
    def make(out: Path) -> dict[str, Any]:
        if name == "lake":
            write_lake(out)
        if name == "corpus":
            write_corpus(out)
        if name == "evaluate":
            (out / "evaluation.json").write_text(json.dumps(summary), encoding="utf-8")
            row = {
                "document_id": "kept",
                "bytes": 8,
                "nats": summary["held_out_bits_per_byte"] * 8 * math.log(2),
            }
            (out / "held_out.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
        return summary

    return make


def write_lake(out: Path) -> None:
    """Write three documents, one of which says something hostile and a secret, and one file that was not read."""
    rows = [
        {
            "document_id": name,
            "source": HOSTILE,
            "path": f"{name}.txt",
            "part": 0,
            "mime": mime,
            "title": HOSTILE,
            "author": None,
            "created": None,
            "modified": modified,
            "language": language,
            "text": text,
            "sha256": "",
            "bytes": len(text),
            "group": None,
            "version": None,
            "metadata": "{}",
        }
        for name, mime, modified, language, text in (
            ("kept", "text/plain", "2024-03-01T00:00:00Z", "en", "Some words that were kept."),
            ("trained", "text/plain", "2023-01-01", None, "Other words."),
            ("dropped", "text/html", None, "de", f"{HOSTILE} write to jane.roe@acme-corp.io"),
        )
    ]
    parquet.write_table(pa.Table.from_pylist(rows, schema=DOCUMENTS), out / "lake.parquet")
    aside = [{"source": HOSTILE, "path": HOSTILE, "part": 0, "reason": "binary", "detail": "no text in it"}]
    parquet.write_table(pa.Table.from_pylist(aside, schema=LAKE_SET_ASIDE), out / "set_aside.parquet")


def write_corpus(out: Path) -> None:
    """Write the corpus of that lake."""
    rows = [
        {
            "document_id": name,
            "source": HOSTILE,
            "path": f"{name}.txt",
            "text": "words",
            "bytes": 8,
            "words": 5,
            "group": name,
            "split": split,
            "digest": text_digest("words"),
        }
        for name, split in (("kept", "held_out"), ("trained", "train"))
    ]
    parquet.write_table(pa.Table.from_pylist(rows, schema=CORPUS), out / "corpus.parquet")
    aside = [
        {
            "document_id": "dropped",
            "path": f"{HOSTILE}.html",
            "step": "near_duplicates",
            "reason": "near duplicate",
            "detail": "Jaccard 0.9 with kept",
            "score": 0.9,
            "duplicate_of": "kept",
        }
    ]
    parquet.write_table(pa.Table.from_pylist(aside, schema=CORPUS_SET_ASIDE), out / "set_aside.parquet")
