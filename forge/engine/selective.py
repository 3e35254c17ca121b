"""Selective activation checkpointing that DeepSpeed can run inside.

torch has the same (`create_selective_checkpoint_contexts`), but it wants every operation of the second run to have
been one of the first, and ZeRO stage 3 gathers weights inside both, at different places. Here only the operations
whose outputs are kept have to come again, in the same order.
"""

from __future__ import annotations

import functools
from collections import deque
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map


class _Keep(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The first run: remember what products and fused attention returned."""

    def __init__(self, kept: deque[Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._kept = kept

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if _is_product(func):
            # Detached: the tensor itself will hold the graph, and the graph this mode.
            self._kept.append(tree_map(_detached, out))
        return out


class _Reuse(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The second run: hand out what was remembered, first kept, first used."""

    def __init__(self, kept: deque[Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._kept = kept

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if _is_product(func):
            return self._kept.popleft()
        return func(*args, **(kwargs or {}))


def keep_products() -> tuple[TorchDispatchMode, TorchDispatchMode]:
    """Return the contexts of the first and of the second run of one checkpointed region (`context_fn` of torch)."""
    kept: deque[Any] = deque()
    return _Keep(kept), _Reuse(kept)


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, torch.Tensor) else value


@functools.cache
def _is_product(operation: Any) -> bool:
    """Whether `operation` multiplies by weights or is a fused attention: not the scores of eager attention (bmm)."""
    namespace, _, name = operation.name().partition("::")
    if namespace == "aten" and name.split(".")[0] in ("mm", "addmm", "_grouped_mm"):
        return True
    return "attention" in name or "flash_attn" in namespace
