"""The linear layers of a dense layer: what adapters are added to, and what may be multiplied in fp8."""

from __future__ import annotations

from forge.plan.types import ModelPlan


def linear_sizes(model: ModelPlan) -> dict[str, tuple[int, int]]:
    """Return inputs and outputs of each linear layer of a dense layer, by its name in transformers, as they run."""
    hidden, wide = model.hidden_size, model.intermediate_size
    return {
        "q_proj": (hidden, model.query_width),
        "k_proj": (hidden, model.kv_width),
        "v_proj": (hidden, model.kv_width),
        "o_proj": (model.query_width, hidden),
        "gate_proj": (hidden, wide),
        "up_proj": (hidden, wide),
        "down_proj": (wide, hidden),
    }
