"""The stages of a plan and their keys.

A key hashes what a stage's output depends on: its parameters, the keys of its inputs, and the source text of the
rooms whose code makes it. So the same work is never done twice, and changed code never hides behind old output.
"""

from __future__ import annotations

import functools
from dataclasses import asdict
from typing import Any

from forge.plan.types import LayoutPlan, ModelPlan, SchedulePlan, SourcePlan, StagePlan, content_hash
from forge.resources import PACKAGE_DIR

KEY_HEX_DIGITS = 12

STAGES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # stage: (its inputs, the rooms whose code makes it)
    "lake": ((), ("data",)),
    "corpus": (("lake",), ("data",)),
    "tokenizer": (("corpus",), ("data",)),
    "tokens": (("corpus", "tokenizer"), ("data",)),
    "train": (("tokens",), ("engine", "data")),
    "evaluate": (("train", "corpus", "tokenizer", "tokens"), ("evaluate", "engine")),
    "export": (("train", "tokenizer", "evaluate"), ("export", "engine")),
}


def plan_stages(
    spec: dict[str, Any],
    sources: tuple[SourcePlan, ...],
    model: ModelPlan,
    layout: LayoutPlan,
    schedule: SchedulePlan,
    deepspeed: dict[str, Any],
) -> tuple[StagePlan, ...]:
    """Return the stages in the order they run."""
    data, evaluate, export = spec["data"], spec["evaluate"], spec["export"]
    parameters: dict[str, dict[str, Any]] = {
        "lake": {
            "sources": [asdict(source) for source in sources],
            "metadata_allow": data["metadata_allow"] or {},
            "max_file_bytes": data["max_file_bytes"],
        },
        "corpus": {
            **{
                key: data[key]
                for key in (
                    "min_words",
                    "min_alphabetic_fraction",
                    "max_repeated_line_fraction",
                    "shingle_words",
                    "near_duplicate_jaccard",
                    "held_out_fraction",
                    "held_out_group_jaccard",
                )
            },
            "seed": spec["seed"],
        },
        "tokenizer": dict(spec["tokenizer"]),
        "tokens": {},
        "train": {
            "model": asdict(model),
            "layout": asdict(layout),
            "schedule": asdict(schedule),
            "deepspeed": deepspeed,
            "seed": spec["seed"],
        },
        "evaluate": {**evaluate, "seed": spec["seed"]},
        "export": {
            "formats": export["formats"],
            "dtype": layout.precision if export["dtype"] == "auto" else export["dtype"],
            "name": spec["name"],
        },
    }
    keys: dict[str, str] = {}
    stages = []
    for name, (inputs, rooms) in STAGES.items():
        content = {
            "stage": name,
            "parameters": parameters[name],
            "inputs": {source: keys[source] for source in inputs},
            "code": {room: room_hash(room) for room in rooms},
        }
        keys[name] = content_hash(content)[:KEY_HEX_DIGITS]
        stages.append(StagePlan(name, inputs, parameters[name], keys[name]))
    return tuple(stages)


@functools.cache
def room_hash(room: str) -> str:
    """Return a hash of the source text of `forge/<room>/`."""
    folder = PACKAGE_DIR / room
    texts = {
        file.relative_to(folder).as_posix(): file.read_text(encoding="utf-8") for file in folder.rglob("*.py")
    }
    return content_hash(texts)[:KEY_HEX_DIGITS]
