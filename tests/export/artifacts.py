"""Artifacts made by hand with plain transformers and tokenizers, so that a fault of forge's own writers cannot hide."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from forge.plan.types import ModelPlan, Plan, SourcePlan
from tests.factories import tiny_plan

QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL_TOKENS = ["<|bos|>", "<|eos|>", "<|pad|>"]
CHAT_TOKENS = ["<|im_start|>", "<|im_end|>"]
CHATML = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
VOCAB_SIZE = 384
ROPE_THETA = 50_000.0

MIXTRAL = {"family": "mixtral", "experts": 4, "experts_per_token": 2, "tied_embeddings": False}
MISTRAL = {"family": "mistral", "tied_embeddings": False}
QWEN2 = {"family": "qwen2"}
QWEN3 = {"family": "qwen3", "head_dim": 16}
QWEN3_MOE = {"family": "qwen3_moe", "head_dim": 16, "experts": 4, "experts_per_token": 2}

FITS_K_TYPES = {"hidden_size": 256, "intermediate_size": 256, "head_dim": 64, "initializer_std": 0.05}
"""Rows of whole blocks of 256 values."""

FAMILIES = [
    pytest.param(shape, id=str(shape.get("family", "llama")))
    for shape in ({}, MISTRAL, MIXTRAL, QWEN2, QWEN3, QWEN3_MOE)
]
"""Shapes of all families, to parametrize a test with."""

WORDS = [
    "the",
    "licence",
    "grants",
    "each",
    "licensee",
    "right",
    "to",
    "copy",
    "modify",
    "sell",
    "work",
    "without",
]


def documents(count: int, seed: int) -> list[str]:
    """Return seeded texts of a few words, some with letters of several bytes."""
    source = random.Random(seed)
    return [
        " ".join(source.choices([*WORDS, "Łódź", "§ 7", "日本", "(the", "non-work"], k=source.randint(5, 40)))
        for _ in range(count)
    ]


def planned(shape: Mapping[str, Any] | None = None, **parameters: Mapping[str, Any]) -> Plan:
    """Return a plan for a tiny model; `export={...}` changes parameters of that stage, and so for others."""
    model = {"vocab_size": VOCAB_SIZE, "rope_theta": ROPE_THETA, "initializer_std": 0.2} | dict(shape or {})
    plan = tiny_plan(
        model=model,
        schedule={"sequence_length": 16},
        layout={"micro_batch_sequences": 3},
        sources=(SourcePlan(path="/private/place", files=3, bytes=4_567, sha256="0" * 64),),
    )
    stages = [
        replace(stage, parameters=stage.parameters | dict(parameters.get(stage.name, {})))
        for stage in plan.stages
    ]
    return replace(plan, stages=tuple(stages))


def write_model(folder: Path, model: ModelPlan, dtype: torch.dtype = torch.bfloat16, seed: int = 0) -> None:
    """Write random weights of `model` as transformers itself saves them."""
    shared = {
        "vocab_size": model.vocab_size,
        "hidden_size": model.hidden_size,
        "intermediate_size": model.intermediate_size,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.attention_heads,
        "num_key_value_heads": model.kv_heads,
        "head_dim": model.head_dim,
        "max_position_embeddings": model.max_sequence_length,
        "rms_norm_eps": model.rms_norm_epsilon,
        "tie_word_embeddings": model.tied_embeddings,
        "initializer_range": model.initializer_std,
        "rope_parameters": {"rope_type": "default", "rope_theta": model.rope_theta},
    }
    config: Any
    if model.family == "llama":
        config = transformers.LlamaConfig(**shared)
    elif model.family == "mistral":
        config = transformers.MistralConfig(**shared, sliding_window=None)
    elif model.family == "qwen2":
        del shared["head_dim"]
        config = transformers.Qwen2Config(**shared)
    elif model.family == "qwen3":
        config = transformers.Qwen3Config(**shared)
    elif model.family == "qwen3_moe":
        config = transformers.Qwen3MoeConfig(
            **shared,
            moe_intermediate_size=model.intermediate_size,
            num_experts=model.experts,
            num_experts_per_tok=model.experts_per_token,
            norm_topk_prob=model.norm_topk_prob,
        )
    else:
        config = transformers.MixtralConfig(
            **shared,
            sliding_window=None,
            num_local_experts=model.experts,
            num_experts_per_tok=model.experts_per_token,
        )
    transformers.utils.logging.disable_progress_bar()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        # Drawn in fp32 in every dtype: torch draws bf16 otherwise, and not in the same way in every version.
        network = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        network.to(dtype).save_pretrained(folder)


def write_tokenizer(folder: Path, chat_template: str | None = None) -> Tokenizer:
    """Write a byte-level BPE trained on the documents, and return it; with a chat template, ChatML's tokens too."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[*SPECIAL_TOKENS, *(CHAT_TOKENS if chat_template else [])],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents(200, seed=1), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|bos|> $A", pair="<|bos|> $A <|bos|> $B", special_tokens=[("<|bos|>", 0)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIAL_TOKENS[0],
        "eos_token": SPECIAL_TOKENS[1],
        "pad_token": SPECIAL_TOKENS[2],
        "clean_up_tokenization_spaces": False,
    }
    if chat_template:
        config["chat_template"] = chat_template
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return tokenizer


def write_evaluation(folder: Path) -> None:
    """Write figures a model card can show."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = {
        "held_out_loss_nats_per_token": 2.5,
        "held_out_perplexity": 12.18,
        "held_out_bits_per_byte": 1.2345,
        "held_out_tokens": 1_000,
        "held_out_predicted_tokens": 999,
        "held_out_bytes": 2_920,
        "held_out_documents": 9,
        "samples": [{"prompt": "secret prompt", "text": "secret text"}],
        "baselines": {
            "unigram_bits_per_byte": 3.2,
            "xz_bits_per_byte": 2.1,
            "xz_with_training_text_bits_per_byte": None,
        },
    }
    (folder / "evaluation.json").write_text(json.dumps(figures))
