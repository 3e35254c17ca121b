"""A Hugging Face folder whose weights a training starts from: what its config.json says, held against its weights.

Only config.json, tokenizer.json and the headers of *.safetensors are read; nothing in the folder is run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forge.errors import SpecError
from forge.plan.model import plan_model
from forge.plan.safetensors_header import stored_shapes
from forge.plan.tensors import HEAD, stored_tensors
from forge.plan.types import SourcePlan

NOT_SHAPE = ("init_from", "initializer_std", "router_aux_loss_coef", "router_z_loss_coef")
"""Keys of `model` that a folder has no say in."""

SPARE_TENSORS = ("rotary_emb.inv_freq", HEAD)
"""Ends of names that older folders hold and no model needs: frequencies, and an output layer that is tied."""

_SIZES = {
    "layers": "num_hidden_layers",
    "hidden_size": "hidden_size",
    "attention_heads": "num_attention_heads",
    "vocab_size": "vocab_size",
}


@dataclass(frozen=True, slots=True)
class Pretrained:
    """A folder to start from."""

    folder: Path
    shape: dict[str, Any]
    """Values of group `model`, those of NOT_SHAPE left out."""
    vocab_size: int
    """Rows of the embedding."""
    tokenizer_vocab_size: int | None
    """Entries of its tokenizer.json; None where it has none."""


@dataclass(frozen=True, slots=True)
class InitialWeights:
    """What a plan is told of the weights it starts from."""

    source: SourcePlan
    vocab_size: int


def read_pretrained(path: str) -> Pretrained:
    """Read a folder in the format of transformers.

    Raises:
        SpecError: it is not there, not a model that forge trains, or its weights are not those of its config.json.
    """
    folder = Path(path).expanduser()
    config = _json(folder / "config.json")
    shape = _shape(folder, config)
    vocab_size = _whole(folder, config, "vocab_size")
    _check_weights(folder, shape, vocab_size)
    tokenizer = folder / "tokenizer.json"
    return Pretrained(folder, shape, vocab_size, vocabulary(tokenizer) if tokenizer.is_file() else None)


def vocabulary(tokenizer: Path) -> int:
    """Return how many entries a tokenizer.json has, added tokens included.

    Raises:
        SpecError: it cannot be read.
    """
    content = _json(tokenizer)
    try:
        names = set(content["model"]["vocab"])
        return len(names | {token["content"] for token in content.get("added_tokens") or ()})
    except (KeyError, TypeError):
        raise _problem(tokenizer, "is not a tokenizer of named tokens: give a byte-level BPE") from None


def continue_from(
    spec: dict[str, Any], pretrained: Pretrained, is_pinned: Callable[[tuple[str, str]], bool]
) -> dict[str, Any]:
    """Return `spec` with the shape of `pretrained`, and its tokenizer where the spec names none.

    Args:
        spec: the composed values; they stay as they are.
        pretrained: the folder of `model.init_from`.
        is_pinned: whether the user set a key, which the folder then has to agree with.

    Raises:
        SpecError: it does not.
    """
    model, tokenizer = dict(spec["model"]), dict(spec["tokenizer"])
    lines = []
    for name, found in pretrained.shape.items():
        wanted = model[name]
        if name == "head_dim":
            wanted = wanted or model["hidden_size"] // model["attention_heads"]
        if wanted != found and is_pinned(("model", name)):
            lines.append(
                f"model.{name}: {model[name]} is set, the weights of {pretrained.folder} have {found}: "
                "drop one of the two"
            )
        model[name] = found
    if model["family"] == "qwen2":
        model["head_dim"] = None
    if lines:
        raise SpecError(*lines)
    if tokenizer["path"] is None:
        if pretrained.tokenizer_vocab_size is None:
            raise _problem(pretrained.folder, "has no tokenizer.json: name its tokenizer in tokenizer.path")
        tokenizer["path"] = str(pretrained.folder)
        found = pretrained.tokenizer_vocab_size
        if is_pinned(("tokenizer", "vocab_size")) and tokenizer["vocab_size"] != found:
            raise SpecError(
                f"tokenizer.vocab_size: {tokenizer['vocab_size']} is set, the tokenizer of {pretrained.folder} has "
                f"{found}: drop it"
            )
        tokenizer["vocab_size"] = found
    size, own = tokenizer["vocab_size"], pretrained.tokenizer_vocab_size
    if size > pretrained.vocab_size or (own is not None and own != size):
        raise SpecError(
            f"tokenizer.vocab_size: {size} entries, the weights of {pretrained.folder} were trained with "
            f"{own or pretrained.vocab_size}: use the tokenizer they were trained with"
        )
    return {**spec, "model": model, "tokenizer": tokenizer}


def _shape(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Return the values of group `model` that a config.json stands for."""
    families = ("llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe")
    family = config.get("model_type")
    if family not in families:
        raise _problem(
            folder, f"model_type {family!r} is not one of {', '.join(families)}: give another model"
        )
    rope = config.get("rope_parameters") or {}
    qwen = family.startswith("qwen")
    _refuse(
        folder, "scaled rope", config.get("rope_scaling") or rope.get("rope_type", "default") != "default"
    )
    slides = config.get("use_sliding_window") if qwen else family != "llama" and config.get("sliding_window")
    _refuse(folder, "a sliding window", slides)
    _refuse(folder, "biases", config.get("mlp_bias") or (family != "qwen2" and config.get("attention_bias")))
    _refuse(folder, "quantized weights", config.get("quantization_config"))
    _refuse(folder, f"activation {config.get('hidden_act')}", config.get("hidden_act", "silu") != "silu")
    _refuse(
        folder,
        "layers without experts",
        config.get("mlp_only_layers") or config.get("decoder_sparse_step", 1) != 1,
    )
    sizes = {name: _whole(folder, config, key) for name, key in _SIZES.items() if name != "vocab_size"}
    heads, hidden = sizes["attention_heads"], sizes["hidden_size"]
    experts = 0
    if family in ("mixtral", "qwen3_moe"):
        experts = _whole(
            folder, config, "num_local_experts" if "num_local_experts" in config else "num_experts"
        )
    try:
        return {
            "family": family,
            **sizes,
            "kv_heads": int(config.get("num_key_value_heads") or heads),
            "head_dim": int(config.get("head_dim") or hidden // heads),
            "intermediate_size": _whole(
                folder, config, "moe_intermediate_size" if family == "qwen3_moe" else "intermediate_size"
            ),
            "rope_theta": float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0),
            "rms_norm_epsilon": float(config.get("rms_norm_eps", 1e-6)),
            "tied_embeddings": bool(config.get("tie_word_embeddings", False)),
            "experts": experts,
            "experts_per_token": _whole(folder, config, "num_experts_per_tok") if experts else 0,
            "norm_topk_prob": bool(config.get("norm_topk_prob", False)) if family == "qwen3_moe" else True,
        }
    except (TypeError, ValueError, ZeroDivisionError):
        raise _problem(folder, "config.json does not describe a model: copy it again") from None


def _check_weights(folder: Path, shape: dict[str, Any], vocab_size: int) -> None:
    """Hold the tensors of a folder against the shape its config.json says."""
    model = plan_model({"initializer_std": 0.02, **shape}, vocab_size, 1)
    expected, found = stored_tensors(model), stored_shapes(folder)
    for name, wanted in expected.items():
        if name not in found:
            raise _problem(
                folder, f"holds no {name}, which its config.json calls for: copy all files of the model"
            )
        if found[name] != wanted:
            raise _problem(
                folder,
                f"{name} is {list(found[name])}, its config.json says {list(wanted)}: use the config.json it was "
                "saved with",
            )
    for name in found.keys() - expected.keys():
        if not name.endswith(SPARE_TENSORS):
            raise _problem(
                folder,
                f"holds {name}, which a model of its config.json has not: use the one it was saved with",
            )


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _problem(path, f"cannot be read ({error.strerror}): name a folder with a model in it") from None
    except ValueError:
        raise _problem(path, "is not JSON: copy it again") from None
    if not isinstance(content, dict):
        raise _problem(path, "is not a JSON object: copy it again")
    return content


def _whole(folder: Path, config: dict[str, Any], key: str) -> int:
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _problem(folder, f"config.json: {key} is {value!r}, not a whole number above 0: copy it again")
    return value


def _refuse(folder: Path, what: str, has_it: object) -> None:
    if has_it:
        raise _problem(folder, f"has {what}, which forge does not train: give another model")


def _problem(where: Path, message: str) -> SpecError:
    return SpecError(f"model.init_from: {where}: {message}")
