"""What Muon trains, and what its updates cost."""

from __future__ import annotations

from forge.plan.types import ModelPlan

_STEPS = 5
"""Of Newton and Schulz's iteration (Jordan 2024)."""


def muon_parameters(model: ModelPlan) -> int:
    """Return the weights that Muon trains: the matrices of a dense model's layers."""
    return model.layers * sum(rows * columns for rows, columns in _matrices(model))


def orthogonalization_flops(model: ModelPlan) -> float:
    """Return the FLOPs of one update of all matrices.

    Of n rows and m columns, n < m: 28 n^3 + 8 n^2 m, for the products that DeepSpeed 0.19's Gram form takes (its
    original_muon.py), which restarts once; 6 n^3 a step where n = m.
    """
    flops = 0.0
    for rows, columns in _matrices(model):
        n, m = sorted((rows, columns))
        flops += 6.0 * _STEPS * n**3 if n == m else 28.0 * n**3 + 8.0 * n**2 * m
    return model.layers * flops


def _matrices(model: ModelPlan) -> tuple[tuple[int, int], ...]:
    """Return rows and columns of one layer's matrices."""
    h, i, query, key_value = model.hidden_size, model.intermediate_size, model.query_width, model.kv_width
    return ((query, h), (key_value, h), (key_value, h), (h, query), (i, h), (i, h), (h, i))
