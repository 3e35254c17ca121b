"""What an export folder can say. Anything else is refused before a byte is written.

Readers of such a folder ignore what they do not know (measured: a sliding window is dropped silently and the logits
drift), so a thing that cannot be said in every reader's words must not be exported.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from forge.data.tokenizer import PATTERNS
from forge.errors import StageError
from forge.export.gguf_types import GGUF_TYPES
from forge.plan.types import Plan

DTYPES = ("bf16", "fp32")
FORMATS = ("hf", "gguf", "ollama")

PRE_TOKENIZERS = {regex: name for name, regex in PATTERNS.items()}
"""Split regex -> the name by which servers know the pre-tokenizer that cuts text so."""


def refuse_inexpressible(plan: Plan, config: dict[str, Any]) -> None:
    """Check the export's parameters and the trained config.json.

    Raises:
        StageError: an unknown format, type or dtype, a model other than the plan's, a sliding window, scaled rope, or
            for GGUF a routing that llama.cpp does not know.
    """
    parameters = plan.stage("export").parameters
    for name in parameters["formats"]:
        if name not in FORMATS:
            raise StageError(f"export.formats: {name!r} is not known: choose from {', '.join(FORMATS)}")
    for name in parameters["gguf_types"]:
        if name not in GGUF_TYPES:
            raise StageError(f"export.gguf_types: {name!r} is not known: choose from {', '.join(GGUF_TYPES)}")
    if parameters["dtype"] not in DTYPES:
        raise StageError(
            f"export.dtype: {parameters['dtype']!r} is not known: choose from {', '.join(DTYPES)}"
        )
    rope = config.get("rope_parameters") or {}
    if rope.get("rope_type", "default") != "default" or config.get("rope_scaling"):
        raise StageError(
            "export: the trained config.json scales rope, which older readers ignore: train without it"
        )
    if config.get("sliding_window") is not None:
        raise StageError(
            "export: the trained config.json has a sliding window, which other readers ignore: train without it"
        )
    model = plan.model
    if model.experts and not model.norm_topk_prob and set(parameters["formats"]) - {"hf"}:
        raise StageError(
            "export.formats: gguf: llama.cpp makes the weights of a token's experts add up to 1, and this model was "
            "trained without that (model.norm_topk_prob): leave gguf and ollama out"
        )
    planned: dict[str, Any] = {
        "model_type": model.family,
        "num_hidden_layers": model.layers,
        "hidden_size": model.hidden_size,
        "num_attention_heads": model.attention_heads,
        "num_key_value_heads": model.kv_heads,
        "head_dim": model.head_dim,
        "intermediate_size": model.intermediate_size,
        "vocab_size": model.vocab_size,
        "rms_norm_eps": model.rms_norm_epsilon,
        "tie_word_embeddings": model.tied_embeddings,
    }
    if model.family == "qwen2":
        del planned["head_dim"]  # hidden_size / attention_heads, and not said
    if model.experts:
        planned |= {"num_local_experts": model.experts, "num_experts_per_tok": model.experts_per_token}
    if model.family == "qwen3_moe":
        del planned["intermediate_size"]  # of layers without experts, of which there are none
        planned |= {
            "moe_intermediate_size": model.intermediate_size,
            "norm_topk_prob": model.norm_topk_prob,
            "decoder_sparse_step": 1,
            "mlp_only_layers": [],
        }
    found = {key: config.get(key) for key in planned}
    planned["rope_theta"], found["rope_theta"] = model.rope_theta, rope.get("rope_theta")
    for key, value in planned.items():
        if found[key] != value:
            raise StageError(
                f"export: config.json of the trained model: {key} is {found[key]}, the plan has {value}: "
                "export with the plan it was trained with"
            )


def refuse_given_tokenizer(plan: Plan) -> None:
    """Check the tokenizer that a plan takes as it is, where it takes one: before a training and not after it.

    Raises:
        StageError: as `find_pre_tokenizer`; what can't be read is left to the stage that takes it.
    """
    given = plan.stage("tokenizer").parameters.get("path")
    if given is None:
        return
    try:
        content = json.loads((Path(given) / "tokenizer.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    find_pre_tokenizer(content, plan.model.vocab_size, plan.stage("export").parameters["formats"])


def find_pre_tokenizer(
    tokenizer: dict[str, Any], vocab_size: int, formats: Sequence[str]
) -> tuple[str | None, str | None]:
    """Return the name servers have for the pre-tokenizer of a parsed tokenizer.json, and why it has none.

    A Hugging Face folder has the whole tokenizer.json, and needs no name.

    Raises:
        StageError: as `name_pre_tokenizer`, where one of `formats` needs the name, or the tokenizer has ids that the
            model has no row for.
    """
    ids = [*((tokenizer.get("model") or {}).get("vocab") or {}).values()] if _has_ids(tokenizer) else []
    ids += [token["id"] for token in tokenizer.get("added_tokens", [])]
    if max(ids, default=0) >= vocab_size:
        raise StageError(
            f"export: tokenizer.json has id {max(ids)}, the model only {vocab_size} rows: "
            "export with the tokenizer it was trained with"
        )
    try:
        return name_pre_tokenizer(tokenizer), None
    except StageError as refusal:
        if set(formats) - {"hf"}:
            raise
        return None, str(refusal).removeprefix("export: ")


def _has_ids(tokenizer: dict[str, Any]) -> bool:
    """Return whether the vocabulary gives each token its id; that of a Unigram model is a list."""
    return isinstance((tokenizer.get("model") or {}).get("vocab"), dict)


def name_pre_tokenizer(tokenizer: dict[str, Any]) -> str:
    """Return the name servers have for the pre-tokenizer of a parsed tokenizer.json ('qwen2').

    Raises:
        StageError: the tokenizer is not a byte-level BPE of that structure.
    """
    model = tokenizer.get("model") or {}
    if model.get("type") != "BPE" or model.get("byte_fallback") or model.get("dropout"):
        raise _unknown("model", model.get("type"), "a plain byte-level BPE")
    if model.get("ignore_merges"):
        raise _unknown("ignore_merges", "set", "merges alone")
    if tokenizer.get("normalizer") is not None:
        raise _unknown("normalizer", tokenizer["normalizer"].get("type"), "none")
    if (tokenizer.get("decoder") or {}).get("type") != "ByteLevel":
        raise _unknown("decoder", tokenizer.get("decoder"), "ByteLevel")
    if tokenizer.get("truncation") is not None or tokenizer.get("padding") is not None:
        raise _unknown("truncation or padding", "set", "none")
    parts = (tokenizer.get("pre_tokenizer") or {}).get("pretokenizers") or []
    if [part.get("type") for part in parts] != ["Split", "ByteLevel"]:
        raise _unknown("pre_tokenizer", [part.get("type") for part in parts], "Split then ByteLevel")
    split, byte_level = parts
    if split.get("behavior") != "Isolated" or split.get("invert"):
        raise _unknown("Split", split.get("behavior"), "Isolated, not inverted")
    if byte_level.get("use_regex") or byte_level.get("add_prefix_space"):
        raise _unknown("ByteLevel", "a second split or an added space", "neither")
    regex = str((split.get("pattern") or {}).get("Regex", ""))
    name = PRE_TOKENIZERS.get(regex)
    if name is None:
        raise _unknown("Split regex", repr(regex[:40]), " or ".join(PATTERNS))
    for added in tokenizer.get("added_tokens", []):
        if any(added.get(flag) for flag in ("lstrip", "rstrip", "single_word")):
            raise _unknown(f"added token {added.get('content')!r}", "matched with conditions", "as it is")
    return name


def read_chat_template(config: dict[str, Any]) -> str | None:
    """Return the Jinja text of a parsed tokenizer_config.json, None where it has none.

    Raises:
        StageError: it has several, by name, of which most servers take any.
    """
    template = config.get("chat_template") or None
    if template is not None and not isinstance(template, str):
        raise StageError("export: tokenizer_config.json has several chat templates: leave one, as plain text")
    return template


def _unknown(what: str, found: object, wanted: str) -> StageError:
    return StageError(
        f"export: tokenizer.json: {what} is {found}, not {wanted}: train the tokenizer with forge, or export to hf "
        "alone"
    )
