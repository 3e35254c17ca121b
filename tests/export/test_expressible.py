from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forge.engine.model import build_config
from forge.errors import StageError
from forge.export.expressible import (
    PRE_TOKENIZERS,
    find_pre_tokenizer,
    name_pre_tokenizer,
    refuse_inexpressible,
)
from tests.export.artifacts import FAMILIES, QWEN2_SPLIT, QWEN3_MOE, VOCAB_SIZE, planned


@pytest.fixture
def config(trained: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((trained / "train" / "config.json").read_text())
    return content


@pytest.fixture
def tokenizer(trained: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((trained / "tokenizer" / "tokenizer.json").read_text())
    return content


def test_what_forge_trains_is_expressible(config: dict[str, Any], tokenizer: dict[str, Any]) -> None:
    refuse_inexpressible(planned(), config)
    assert name_pre_tokenizer(tokenizer) == "qwen2"


@pytest.mark.parametrize("shape", FAMILIES)
def test_every_family_the_engine_builds_is_expressible(shape: dict[str, Any]) -> None:
    plan = planned(shape)
    refuse_inexpressible(plan, build_config(plan.model).to_dict())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"norm_topk_prob": False}, "norm_topk_prob is False, the plan has True"),
        ({"moe_intermediate_size": 32}, "moe_intermediate_size is 32, the plan has 64"),
        ({"mlp_only_layers": [1]}, r"mlp_only_layers is \[1\], the plan has \[\]"),
    ],
)
def test_another_mixture_is_refused(change: dict[str, Any], words: str) -> None:
    plan = planned(QWEN3_MOE)
    with pytest.raises(StageError, match=words):
        refuse_inexpressible(plan, build_config(plan.model).to_dict() | change)


def test_servers_know_the_regex_by_this_digest() -> None:
    digests = {name: hashlib.sha256(regex.encode()).hexdigest() for regex, name in PRE_TOKENIZERS.items()}
    assert digests == {"qwen2": "1ff7f41064896984db5d1bb6ff64fa4bc29007d08c1b439e505b7392777a319e"}
    assert QWEN2_SPLIT in PRE_TOKENIZERS


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sliding_window": 16}, "sliding window"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 50_000.0}}, "scales rope"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "scales rope"),
        (
            {"rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0}},
            "rope_theta is 10000.0, the plan",
        ),
        ({"model_type": "qwen3"}, "model_type is qwen3, the plan has llama"),
        ({"num_key_value_heads": 4}, "num_key_value_heads is 4, the plan has 2"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False, the plan has True"),
    ],
)
def test_other_models_are_refused(config: dict[str, Any], change: dict[str, Any], words: str) -> None:
    with pytest.raises(StageError, match=words) as caught:
        refuse_inexpressible(planned(), config | change)
    assert len(caught.value.lines) == 1


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"formats": ["hf", "onnx"]}, "'onnx' is not known: choose from hf, gguf, ollama"),
        ({"gguf_types": ["q4_k"]}, "'q4_k' is not known: choose from f32, f16, bf16, q8_0, q6_k"),
        ({"dtype": "fp16"}, "'fp16' is not known"),
    ],
)
def test_other_parameters_are_refused(config: dict[str, Any], parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(StageError, match=words):
        refuse_inexpressible(planned(export=parameters), config)


def normalize(tokenizer: dict[str, Any]) -> None:
    tokenizer["normalizer"] = {"type": "NFC"}


def word_pieces(tokenizer: dict[str, Any]) -> None:
    tokenizer["model"]["type"] = "WordPiece"


def split_on_spaces(tokenizer: dict[str, Any]) -> None:
    tokenizer["pre_tokenizer"] = {"type": "Whitespace"}


def other_regex(tokenizer: dict[str, Any]) -> None:
    tokenizer["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = r"\w+"


def add_a_space(tokenizer: dict[str, Any]) -> None:
    tokenizer["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = True


def join(tokenizer: dict[str, Any]) -> None:
    tokenizer["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "MergedWithNext"


def strip_decoder(tokenizer: dict[str, Any]) -> None:
    tokenizer["decoder"] = None


def truncate(tokenizer: dict[str, Any]) -> None:
    tokenizer["truncation"] = {"max_length": 8}


def ignore_merges(tokenizer: dict[str, Any]) -> None:
    tokenizer["model"]["ignore_merges"] = True


def strip_around(tokenizer: dict[str, Any]) -> None:
    tokenizer["added_tokens"][1]["lstrip"] = True


def one_more(tokenizer: dict[str, Any]) -> None:
    tokenizer["added_tokens"].append({"id": VOCAB_SIZE, "content": "<|more|>"})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (normalize, "normalizer is NFC"),
        (word_pieces, "model is WordPiece"),
        (split_on_spaces, "pre_tokenizer is"),
        (other_regex, "Split regex is"),
        (add_a_space, "ByteLevel is"),
        (join, "Split is MergedWithNext"),
        (strip_decoder, "decoder is None"),
        (truncate, "truncation or padding"),
        (ignore_merges, "ignore_merges is set"),
        (strip_around, r"added token '<\|eos\|>' is matched with conditions"),
        (one_more, f"has id {VOCAB_SIZE}, the model only {VOCAB_SIZE} rows"),
    ],
)
def test_other_tokenizers_are_refused(
    tokenizer: dict[str, Any], change: Callable[[dict[str, Any]], None], words: str
) -> None:
    changed = copy.deepcopy(tokenizer)
    change(changed)
    with pytest.raises(StageError, match=words) as caught:
        find_pre_tokenizer(changed, VOCAB_SIZE, ["hf", "gguf"])
    assert len(caught.value.lines) == 1
    if change is not one_more:
        name, reason = find_pre_tokenizer(changed, VOCAB_SIZE, ["hf"])
        assert name is None
        assert re.search(words, str(reason))
