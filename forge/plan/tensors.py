"""The tensors of a model as Hugging Face folders hold them: names and shapes, by family."""

from __future__ import annotations

from forge.plan.types import ModelPlan

HEAD = "lm_head.weight"
"""The output layer, absent where it is tied to the embedding."""


def stored_tensors(model: ModelPlan) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor that a folder of `model` holds, by name; experts one by one."""
    h = model.hidden_size
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (model.vocab_size, h)}
    for layer in range(model.layers):
        prefix = f"model.layers.{layer}."
        shapes |= {f"{prefix}{name}": shape for name, shape in _attention(model).items()}
        shapes |= {f"{prefix}{name}": shape for name, shape in _feed_forward(model).items()}
        shapes |= {f"{prefix}input_layernorm.weight": (h,), f"{prefix}post_attention_layernorm.weight": (h,)}
    shapes["model.norm.weight"] = (h,)
    if not model.tied_embeddings:
        shapes[HEAD] = (model.vocab_size, h)
    return shapes


def expert_tensors(model: ModelPlan, layer: int, expert: int) -> tuple[str, str, str]:
    """Return the names of an expert's gate, up and down matrices."""
    prefix = f"model.layers.{layer}."
    if model.family == "mixtral":
        names = ("w1", "w3", "w2")
        prefix += "block_sparse_moe"
    else:
        names = ("gate_proj", "up_proj", "down_proj")
        prefix += "mlp"
    gate, up, down = (f"{prefix}.experts.{expert}.{name}.weight" for name in names)
    return gate, up, down


def router_tensor(model: ModelPlan, layer: int) -> str:
    """Return the name of a layer's router."""
    block = "block_sparse_moe" if model.family == "mixtral" else "mlp"
    return f"model.layers.{layer}.{block}.gate.weight"


def _attention(model: ModelPlan) -> dict[str, tuple[int, ...]]:
    h, query, key_value = model.hidden_size, model.query_width, model.kv_width
    widths = {"q_proj": query, "k_proj": key_value, "v_proj": key_value}
    shapes: dict[str, tuple[int, ...]] = {
        f"self_attn.{name}.weight": (width, h) for name, width in widths.items()
    }
    shapes["self_attn.o_proj.weight"] = (h, query)
    if model.has_qkv_bias:
        shapes |= {f"self_attn.{name}.bias": (width,) for name, width in widths.items()}
    if model.has_qk_norm:
        shapes |= {f"self_attn.{name}.weight": (model.head_dim,) for name in ("q_norm", "k_norm")}
    return shapes


def _feed_forward(model: ModelPlan) -> dict[str, tuple[int, ...]]:
    h, i = model.hidden_size, model.intermediate_size
    if not model.experts:
        return {"mlp.gate_proj.weight": (i, h), "mlp.up_proj.weight": (i, h), "mlp.down_proj.weight": (h, i)}
    layer_0 = len("model.layers.0.")
    shapes: dict[str, tuple[int, ...]] = {router_tensor(model, 0)[layer_0:]: (model.experts, h)}
    for expert in range(model.experts):
        gate, up, down = (name[layer_0:] for name in expert_tensors(model, 0, expert))
        shapes |= {gate: (i, h), up: (i, h), down: (h, i)}
    return shapes
