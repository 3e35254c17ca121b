"""What a schema cannot say: rules between keys. Each broken rule is one line that names the keys."""

from __future__ import annotations

from typing import Any

from forge.spec.problems import Problem, problem_at
from forge.spec.schema import SpecSchema
from forge.spec.types import KeyPath, Origin, dotted, origin_of

Origins = dict[KeyPath, tuple[Origin, ...]]

_RANK = {"conf": 0, "recipe": 1, "command line": 2}


def apply_rules(
    values: dict[str, Any], origins: Origins, schema: SpecSchema
) -> tuple[dict[str, Any], list[Problem]]:
    """Return the values in one spelling (whole numbers as int, the budget given once), and the rules they break.

    `values` have passed the schema.
    """
    values = _normal(values, (), schema)
    problems: list[Problem] = []

    def broken(keys: tuple[KeyPath, ...], message: str) -> None:
        spoken = max(keys, key=lambda key: _rank(origins, key))
        problems.append(problem_at(origin_of(origins, spoken), f"{dotted(spoken)}: {message}"))

    _budget(values["train"], origins, broken)
    _batch(values["train"], broken)
    _model(values["model"], broken)
    _data(values["data"], broken)
    if values["engine"]["zero_stage"] == 0 and values["train"]["precision"] == "bf16":
        keys = (("engine", "zero_stage"), ("train", "precision"))
        broken(keys, "ZeRO stage 0 in bf16 takes a wrong first step in DeepSpeed 0.19: use stage 1, or fp32")
    return values, problems


def _rank(origins: Origins, key: KeyPath) -> int:
    chain = origins.get(key)
    return _RANK[chain[0].trust] if chain else 0


def _budget(train: dict[str, Any], origins: Origins, broken: Any) -> None:
    """Tokens or steps: who speaks later says how the budget is given; twice from one mouth is a contradiction."""
    tokens, steps = ("train", "tokens"), ("train", "steps")
    if train["tokens"] is not None and train["steps"] is not None:
        tokens_rank, steps_rank = _rank(origins, tokens), _rank(origins, steps)
        if tokens_rank == steps_rank:
            broken(
                (tokens, steps),
                "the budget is given as train.tokens and as train.steps: give one, the other null",
            )
        elif steps_rank > tokens_rank:
            train["tokens"] = None
        else:
            train["steps"] = None
    elif train["tokens"] is None and train["steps"] is None:
        broken((tokens, steps), "there is no budget: give train.tokens or train.steps")


def _batch(train: dict[str, Any], broken: Any) -> None:
    batch, length, tokens = train["global_batch_tokens"], train["sequence_length"], train["tokens"]
    keys = (("train", "global_batch_tokens"), ("train", "sequence_length"))
    if batch % length:
        near = [size for size in (batch // length * length, (batch // length + 1) * length) if size]
        broken(
            keys,
            f"{batch} is not a multiple of train.sequence_length {length}: use {' or '.join(map(str, near))}",
        )
    elif tokens is not None and tokens < batch:
        broken(
            (("train", "tokens"), ("train", "global_batch_tokens")),
            f"a budget of {tokens} tokens is less than one global batch of {batch}: raise train.tokens or "
            "lower train.global_batch_tokens",
        )
    if train["learning_rate_schedule"] == "wsd" and train["warmup_fraction"] + train["decay_fraction"] > 1:
        broken(
            (("train", "warmup_fraction"), ("train", "decay_fraction")),
            "train.warmup_fraction and train.decay_fraction add up to more than the whole run",
        )


def _model(model: dict[str, Any], broken: Any) -> None:
    hidden, heads, kv_heads = model["hidden_size"], model["attention_heads"], model["kv_heads"]
    if model["head_dim"] is None and hidden % heads:
        broken(
            (("model", "hidden_size"), ("model", "attention_heads")),
            f"{hidden} is not divisible by model.attention_heads {heads}: change one, or set model.head_dim",
        )
    elif (model["head_dim"] or hidden // heads) % 2:
        broken(
            (("model", "head_dim"), ("model", "hidden_size"), ("model", "attention_heads")),
            f"a head of {model['head_dim'] or hidden // heads} dimensions cannot be rotated in pairs: make it even",
        )
    if heads % kv_heads:
        broken(
            (("model", "kv_heads"), ("model", "attention_heads")),
            f"{kv_heads} does not divide model.attention_heads {heads}",
        )
    if model["experts_per_token"] > model["experts"]:
        broken(
            (("model", "experts_per_token"), ("model", "experts")),
            f"{model['experts_per_token']} is more than model.experts {model['experts']}",
        )


def _data(data: dict[str, Any], broken: Any) -> None:
    if data["held_out_group_jaccard"] > data["near_duplicate_jaccard"]:
        broken(
            (("data", "held_out_group_jaccard"), ("data", "near_duplicate_jaccard")),
            f"{data['held_out_group_jaccard']} is above data.near_duplicate_jaccard "
            f"{data['near_duplicate_jaccard']}: near-duplicates would stand on both sides of the held-out split",
        )


def _normal(value: Any, key: KeyPath, schema: SpecSchema) -> Any:
    """Spell equal values equally, so that `1` and `1.0` make the same plan."""
    if isinstance(value, dict):
        return {name: _normal(child, (*key, name), schema) for name, child in value.items()}
    kinds = (schema.node(key) or {}).get("type", ())
    kinds = {kinds} if isinstance(kinds, str) else set(kinds)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if "number" in kinds:
            return float(value)
        if isinstance(value, float) and value.is_integer():
            return int(value)
    return value
