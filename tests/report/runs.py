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
from forge.data.corpus_tables import SET_ASIDE as CORPUS_SET_ASIDE
from forge.data.rows import DOCUMENTS
from forge.data.rows import SET_ASIDE as LAKE_SET_ASIDE
from forge.plan.types import AlternativePlan, MemoryItem, Plan, SearchPlan, SourcePlan, plan_id, plan_to_json
from forge.run.artifacts import make_artifact
from tests.events import EVENT_VALIDATOR
from tests.factories import tiny_plan

BEGAN = 1_700_000_000.0
HOSTILE = "<script>alert('x')</script>"


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


_STEPS = [
    {"step": "repair", "documents_in": 3, "set_aside": 0, "changed": 1, "reasons": {}, "samples": []},
    {
        "step": "near_duplicates",
        "documents_in": 3,
        "set_aside": 1,
        "changed": 0,
        "reasons": {"near duplicate": 1},
        "samples": [],
    },
]
_RATES = {
    "questions": 20,
    "exact_fraction": 0.6,
    "exact_interval_95": [0.4, 0.8],
    "abstained_fraction": 0.3,
    "abstained_interval_95": [0.1, 0.5],
    "wrong_fraction": 0.1,
    "wrong_interval_95": [0.0, 0.3],
}
SUMMARIES: dict[str, dict[str, Any]] = {
    "lake": {
        "files": 4,
        "files_with_documents": 3,
        "files_set_aside": 1,
        "documents": 3,
        "bytes": 100,
        "set_aside": {"binary": 1},
    },
    "corpus": {
        "documents_in": 3,
        "documents": 2,
        "bytes": 16,
        "words": 10,
        "repaired": 1,
        "set_aside": {"near duplicate": 1},
        "steps": _STEPS,
        "families": 2,
        "largest_family_documents": 1,
        "train_documents": 1,
        "train_bytes": 8,
        "held_out_documents": 1,
        "held_out_bytes": 8,
    },
    "tokenizer": {"vocab_size": 256},
    "tokens": {
        "train_tokens": 4_000,
        "held_out_tokens": 400,
        "train_bytes_per_token": 4.0,
        "sha256": {"train.bin": "b" * 64},
        "sources": {HOSTILE: {"bytes_per_token": 4.0, "train_tokens": 4_000}},
    },
    "train": {
        "steps": 6,
        "tokens": 768,
        "first_loss": 7.94,
        "final_loss": 2.345,
        "wall_clock_s": 90.0,
        "start_up_s": 2.0,
        "attempts": 1,
        "restarts": 0,
        "steps_skipped": [],
        "step_time_s": 0.25,
        "tokens_per_second": 512.0,
        "peak_memory_bytes": 4 * 1024**2,
        "world_size": 1,
        "versions": {"torch": "2.13.0"},
    },
    "evaluate": {
        "held_out_bits_per_byte": 1.75,
        "held_out_documents": 1,
        "held_out_bytes": 2048,
        "held_out_loss_nats_per_token": 2.0,
        "held_out_perplexity": 7.389,
        "held_out_by_source": {HOSTILE: {"documents": 1, "bytes": 8, "bits_per_byte": 1.75}},
        "held_out_near_copies": {"documents_with_near_copy": 0, "highest_jaccard": 0.25},
        "baselines": {
            "xz_preset": "9e",
            "xz_with_training_text_bits_per_byte": 0.5,
            "xz_bits_per_byte": 1.5,
            "unigram_bits_per_byte": 2.5,
        },
        "samples": [{"prompt": "The", "text": f" end {HOSTILE}"}],
        "recall": {
            "model": {"known": _RATES, "document": _RATES},
            "retrieval": {"known": _RATES | {"exact_fraction": 0.8}, "document": _RATES},
            "contrast": None,
            "against": {
                "retrieval": {"known": {"only_other_right": 5, "only_model_right": 1, "p_value": 0.03}},
            },
            "retrieval_not_measured": None,
        },
        "contamination": {
            "run_words": 13,
            "action": "report",
            "sets": {"held_out": {"texts": 1, "texts_contaminated": 1, "contaminated_fraction": 1.0}},
        },
        "regurgitation": {
            "prefix_tokens": 32,
            "continued_tokens": 50,
            "passages": 10,
            "verbatim": 1,
            "verbatim_fraction": 0.1,
            "verbatim_interval_95": [0.0, 0.4],
            "by_times_read": [],
            "by_near_copies": [],
        },
        "tasks": {},
    },
    "export": {
        "bytes": 7_000,
        "steps": 6,
        "dtype": "fp32",
        "sha256": {"hf": {"model.safetensors": "c" * 64}},
        "proof": {
            "hf": {
                "weight_tensors_equal": 21,
                "logit_positions_equal": 1_097,
                "tokenizer_strings_equal": 4_428,
                "trained_dtype": "float32",
                "exported_dtype": "float32",
                "cast_logits_mean_deviation": 0.0,
                "cast_logits_mean_deviation_bound": 0.1,
            }
        },
        "versions": {"transformers": "5.24.0"},
    },
}
