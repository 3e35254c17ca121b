"""The stages of a plan and their keys.

A key hashes what a stage's output depends on: its parameters, the keys of its inputs, and the source text of the
rooms whose code makes it. So the same work is never done twice, and changed code never hides behind old output.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from forge.plan.phases import source_caps, source_weights
from forge.plan.types import LayoutPlan, ModelPlan, SchedulePlan, SourcePlan, StagePlan, Task, content_hash
from forge.resources import PACKAGE_DIR

KEY_HEX_DIGITS = 12

NOT_OF_CORPUS = (
    "path",
    "metadata_allow",
    "max_file_bytes",
    "ocr",
    "source_weights",
    "packing",
    "assumed_tokens",
    "engine",
    "engine_address",
)
"""Keys of `data` that other stages, or none, depend on."""

STAGES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # stage: (its inputs, the rooms whose code makes it)
    "lake": ((), ("data",)),
    "corpus": (("lake",), ("data",)),
    "tokenizer": (("corpus",), ("data",)),
    "tokens": (("corpus", "tokenizer"), ("data",)),
    "train": (("tokens",), ("engine", "data")),
    "evaluate": (("train", "corpus", "tokenizer", "tokens"), ("evaluate", "engine")),
    "export": (("train", "tokenizer", "tokens", "evaluate"), ("export", "engine")),
}

RIVAL_WORDS = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")
"""Files beside the weights of a rival that its replies depend on."""

REFERENCE = "reference"
"""Before `train`, where preferences are learnt: what the model that is started from says of each answer."""

REFERENCE_STAGE = (("tokens",), ("engine", "data"))
READS_REFERENCE = ("train", "evaluate")

RECORDS = {"pretrain": "text", "sft": "conversation", "dpo": "preference"}
"""What a task is learnt from."""


def stage_table(task: Task) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return the stages of a task in the order they run, each with its inputs and rooms."""
    if task != "dpo":
        return STAGES
    table: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    for name, (inputs, rooms) in STAGES.items():
        if name == "train":
            table[REFERENCE] = REFERENCE_STAGE
        table[name] = (*inputs, REFERENCE) if name in READS_REFERENCE else inputs, rooms
    return table


def plan_stages(
    spec: dict[str, Any],
    sources: tuple[SourcePlan, ...],
    initial_weights: tuple[SourcePlan, ...],
    model: ModelPlan,
    layout: LayoutPlan,
    schedule: SchedulePlan,
    deepspeed: dict[str, Any],
    rival_sha256: str | None = None,
) -> tuple[StagePlan, ...]:
    """Return the stages in the order they run; `rival_sha256` is that of the model in `evaluate.rival_folder`."""
    data, evaluate, export = spec["data"], spec["evaluate"], spec["export"]
    parameters: dict[str, dict[str, Any]] = {
        "lake": {
            "sources": [asdict(source) for source in sources],
            "metadata_allow": data["metadata_allow"] or {},
            "max_file_bytes": data["max_file_bytes"],
            "ocr": data["ocr"],
            "records": RECORDS[schedule.task],
        },
        "corpus": {
            **{key: value for key, value in data.items() if key not in NOT_OF_CORPUS},
            "source_cap_bytes": source_caps("data.source_cap_bytes", data["source_cap_bytes"], sources),
            "evaluation_sha256": [_sha256(path) for path in data["evaluation_files"] or []],
            "seed": spec["seed"],
        },
        "tokenizer": spec["tokenizer"]
        | {
            "given_sha256": _sha256(f"{spec['tokenizer']['path']}/tokenizer.json"),
            "given_config_sha256": [
                _sha256(f"{spec['tokenizer']['path']}/{name}")
                for name in ("tokenizer_config.json", "chat_template.jinja")
            ],
            "chat": schedule.task != "pretrain",
            "seed": spec["seed"],
        },
        "tokens": {
            "task": schedule.task,
            "packing": data["packing"],
            "sequence_length": schedule.sequence_length if data["packing"] == "best_fit" else None,
            "source_weights": source_weights("data.source_weights", data["source_weights"], sources),
            # As long as weights stay the same, what the training reads when is no matter of the tokens.
            "phases": [phase.source_weights for phase in schedule.phases] or None,
        },
        REFERENCE: {
            # Adapters change nothing at first: with them or without, it is the same model.
            "model": _shape(
                replace(
                    model,
                    lora_rank=0,
                    lora_alpha=0.0,
                    lora_dropout=0.0,
                    lora_target_modules=(),
                    adapter_parameters=0,
                )
            ),
            "sequence_length": schedule.sequence_length,
            "precision": layout.precision,
            "initial_weights_sha256": [source.sha256 for source in initial_weights],
        },
        "train": {
            "model": _shape(model),
            "layout": asdict(layout),
            "schedule": asdict(schedule) | {"phases": [asdict(phase) for phase in schedule.phases]},
            "deepspeed": deepspeed,
            "initial_weights_sha256": [source.sha256 for source in initial_weights],
            "seed": spec["seed"],
        },
        "evaluate": {
            # Another bound is no other measurement.
            **{key: value for key, value in evaluate.items() if key != "gates"},
            "questions_sha256": _sha256_of_named(evaluate["questions"]),
            "facts_sha256": _sha256_of_named(evaluate["facts"]),
            "tasks_sha256": [_sha256(task) for task in evaluate["tasks"]],
            "rival_sha256": rival_sha256,
            "rival_words_sha256": None
            if evaluate["rival_folder"] is None
            else [_sha256(f"{evaluate['rival_folder']}/{name}") for name in RIVAL_WORDS],
            "seed": spec["seed"],
        },
        "export": {
            "formats": export["formats"],
            "gguf_types": export["gguf_types"],
            # fp16 weights leave the training in fp32.
            "dtype": {"fp16": "fp32", "fp8": "bf16"}.get(layout.precision, layout.precision)
            if export["dtype"] == "auto"
            else export["dtype"],
            "name": spec["name"],
        },
    }
    keys: dict[str, str] = {}
    stages = []
    for name, (inputs, _) in stage_table(schedule.task).items():
        stage = plan_stage(name, parameters[name], {source: keys[source] for source in inputs})
        keys[name] = stage.key
        stages.append(stage)
    return tuple(stages)


def plan_stage(name: str, parameters: dict[str, Any], inputs: dict[str, str]) -> StagePlan:
    """Return the stage `name` of these parameters, made from the outputs that `inputs` holds the keys of."""
    rooms = REFERENCE_STAGE[1] if name == REFERENCE else STAGES[name][1]
    content = {
        "stage": name,
        "parameters": parameters,
        "inputs": inputs,
        "code": {room: room_hash(room) for room in rooms},
    }
    return StagePlan(name, tuple(inputs), parameters, content_hash(content)[:KEY_HEX_DIGITS])


def _shape(model: ModelPlan) -> dict[str, Any]:
    return asdict(model) | {"lora_target_modules": list(model.lora_target_modules)}


def _sha256(path: str) -> str | None:
    """Return the hash of a file's content; None where it is not at hand: a plan can be made without it."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return None


def _sha256_of_named(path: str | None) -> str | None:
    return None if path is None else _sha256(path)


@functools.cache
def room_hash(room: str) -> str:
    """Return a hash of the source text of `forge/<room>/`."""
    folder = PACKAGE_DIR / room
    texts = {
        file.relative_to(folder).as_posix(): file.read_text(encoding="utf-8") for file in folder.rglob("*.py")
    }
    return content_hash(texts)[:KEY_HEX_DIGITS]
