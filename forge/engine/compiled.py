"""Layers compiled by torch.compile: one layer's code, compiled once, serves them all.

Compiled, a layer keeps for its backward pass what is dear to compute and makes the rest again, in fused kernels:
about 30 % less memory than the same layer run operation by operation (`forge.plan.activations.layer_saved`).

Attention stays outside: it goes from document to document, and how many there are differs in each micro-batch. Layers
are not told of documents, as that would have them compiled again for each number; attention looks them up here.
"""

from __future__ import annotations

import functools
import shutil
from typing import Any

import torch
import transformers
from torch.utils.checkpoint import checkpoint

from forge.engine.documents import Documents, attend
from forge.errors import StageError

OUTSIDE_COMPILED_LAYERS = "within_documents_outside_compiled_layers"
"""Name of this attention in transformers."""


class _Current:
    """The documents of the micro-batch that is being computed, until the next one begins."""

    documents: Documents | None = None


def compile_layers(network: transformers.PreTrainedModel, recompute: bool = False) -> None:
    """Let each layer of `network`, one with fused attention, be compiled when it first runs.

    With `recompute` a layer keeps its input alone, and the compiled code runs again in the backward pass. transformers'
    own checkpointing would be compiled with the layer, and as attention is not, nothing would be.

    Raises:
        StageError: this machine has no C++ compiler.
    """
    _check_compiler()
    # Of what torch remembers of graphs between processes nothing is read: it is pickled.
    torch._inductor.config.fx_graph_cache = False
    torch._functorch.config.enable_autograd_cache = False
    # In this process, which is watched and ended with its kind; a pool of helpers is not.
    torch._inductor.config.compile_threads = 1
    outside = torch.compiler.disable(_attend)  # type: ignore[no-untyped-call]
    transformers.AttentionInterface.register(OUTSIDE_COMPILED_LAYERS, outside)
    network.set_attn_implementation(OUTSIDE_COMPILED_LAYERS)
    network.register_forward_pre_hook(_remember_documents, with_kwargs=True)
    for layer in network.model.layers:
        compiled = torch.compile(layer.forward, dynamic=False)
        layer.forward = (
            functools.partial(checkpoint, compiled, use_reentrant=False) if recompute else compiled
        )


def _remember_documents(
    network: torch.nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Take from a forward pass's options what describes its documents, but for the positions of tokens in them."""
    _Current.documents = documents = options.get("documents")
    if documents is None:
        return arguments, options
    described = documents.options().keys() - {"position_ids"}
    return arguments, {name: value for name, value in options.items() if name not in described}


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    return attend(module, query, key, value, attention_mask, scaling, _Current.documents, **options)


def _check_compiler() -> None:
    """Raise StageError where torch would find no C++ compiler, which code for a CPU and for a GPU both need."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        found = shutil.which(get_cpp_compiler())
    except InvalidCxxCompiler:
        found = None
    if found is None:
        raise StageError(
            "train: engine.compile_layers: this machine has no C++ compiler: install g++, or use "
            "engine.compile_layers=false"
        )
