"""The network: a transformers config and model from a plan's shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
import transformers

from forge.engine.documents import WITHIN_DOCUMENTS
from forge.engine.expert_parallel import ExpertGroup, share_experts
from forge.engine.initial_weights import FirstScale, all_of_it, initialize_weights, unscaled
from forge.engine.lora import add_adapters
from forge.engine.pretrained_weights import load_weights
from forge.engine.selective import keep_products
from forge.plan.types import ModelPlan

Attention = Literal["sdpa", "flash", "eager"]
ActivationCheckpointing = Literal["none", "selective", "full"]

ATTENTION_IMPLEMENTATION: dict[Attention, str] = {
    "sdpa": WITHIN_DOCUMENTS,
    "flash": "flash_attention_2",
    "eager": "eager",
}
"""What transformers calls each kind of attention."""

BOS_ID, EOS_ID, PAD_ID = 0, 1, 2
"""Ids of the special tokens of a tokenizer that forge trained; an export writes those of the tokenizer it goes with."""


def build_config(
    model: ModelPlan, attention: Attention = "sdpa", pad_id: int = PAD_ID
) -> transformers.PreTrainedConfig:
    """Return the transformers config for `model`: full causal attention of kind `attention`, no dropout.

    A micro-batch is packed, so no attention mask is ever given; `sdpa` and `flash` then build none and keep to the
    documents they are told of (`eager` builds a mask of sequence length squared).
    """
    shared: dict[str, Any] = {
        "vocab_size": model.vocab_size,
        "hidden_size": model.hidden_size,
        "intermediate_size": model.intermediate_size,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.attention_heads,
        "num_key_value_heads": model.kv_heads,
        "head_dim": model.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": model.max_sequence_length,
        "initializer_range": model.initializer_std,
        "rms_norm_eps": model.rms_norm_epsilon,
        "tie_word_embeddings": model.tied_embeddings,
        "rope_parameters": {"rope_type": "default", "rope_theta": model.rope_theta},
        "attention_dropout": 0.0,
        "bos_token_id": BOS_ID,
        "eos_token_id": EOS_ID,
        "pad_token_id": pad_id,
        "attn_implementation": ATTENTION_IMPLEMENTATION[attention],
    }
    match model.family:
        case "llama":
            return transformers.LlamaConfig(**shared, attention_bias=False, mlp_bias=False)
        case "mistral":
            return transformers.MistralConfig(**shared, sliding_window=None)
        case "qwen2":
            del shared["head_dim"]  # other readers of this family know none
            return transformers.Qwen2Config(**shared, sliding_window=None)
        case "qwen3":
            return transformers.Qwen3Config(**shared, attention_bias=False, sliding_window=None)
    shared |= {
        "sliding_window": None,
        "num_local_experts": model.experts,
        "num_experts_per_tok": model.experts_per_token,
        "output_router_logits": False,
        "router_aux_loss_coef": model.router_aux_loss_coef,
    }
    if model.family == "mixtral":
        return transformers.MixtralConfig(**shared, router_jitter_noise=0.0)
    # The size of a layer without experts, of which there is none: as large as what a token passes through.
    shared["intermediate_size"] = model.intermediate_size * model.experts_per_token
    return transformers.Qwen3MoeConfig(
        **shared,
        attention_bias=False,
        moe_intermediate_size=model.intermediate_size,
        norm_topk_prob=model.norm_topk_prob,
        decoder_sparse_step=1,
        mlp_only_layers=[],
    )


def build_model(
    model: ModelPlan,
    seed: int,
    activation_checkpointing: ActivationCheckpointing = "none",
    attention: Attention = "sdpa",
    pad_id: int = PAD_ID,
    dtype: torch.dtype = torch.float32,
    initial_weights: Path | None = None,
    first_scale: FirstScale = unscaled,
    expert_group: ExpertGroup | None = None,
) -> transformers.PreTrainedModel:
    """Return a model in training mode: with the weights of a folder, or fresh ones of `seed`, times `first_scale`.

    Built without storage and filled weight by weight, so that it never takes more memory than it has weights. A fresh
    embedding of `pad_id` is zero; it stays as it is. Of experts it has those that a rank of `expert_group` holds.
    """
    config = build_config(model, attention, pad_id)
    with torch.device("meta"):
        network = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)
    # Its frequencies are no weights: they are computed anew, with storage.
    network.model.rotary_emb = type(network.model.rotary_emb)(config=config)
    part = all_of_it if expert_group is None else expert_group.part
    if initial_weights is not None:
        load_weights(network, model, initial_weights, part)
    else:
        initialize_weights(network, model.initializer_std, seed, first_scale, part)
        with torch.no_grad():
            network.get_input_embeddings().weight[pad_id].zero_()
    if expert_group is not None:
        share_experts(network, expert_group)
    if model.lora_rank:
        add_adapters(network, model, seed)
    checkpoint_activations(network, activation_checkpointing)
    return network.train()


def checkpoint_activations(network: transformers.PreTrainedModel, kind: ActivationCheckpointing) -> None:
    """Let each layer keep less for the backward pass and compute the rest again.

    `full` keeps a layer's input (Chen et al. 2016). `selective` also keeps what its matrix products and its fused
    attention made, so that only element-wise work is done again (Korthikanti et al. 2022, §5, the other way round:
    what is cheap to compute is what is not kept).
    """
    if kind == "none":
        return
    options: dict[str, Any] = {"use_reentrant": False}
    if kind == "selective":
        options["context_fn"] = keep_products
    network.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)
