"""The trained weights as a transformers folder."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import torch
import transformers

from forge.engine.distributed import Place
from forge.engine.expert_parallel import whole_weight
from forge.engine.lora import merged, write_adapter
from forge.engine.model import build_config
from forge.plan.layout import stored_precision
from forge.plan.types import Plan
from forge.quiet import quiet_transformers

ADAPTER_FOLDER = "adapter"

_SHARD_SIZE = "5GB"


def save_weights(engine: Any, plan: Plan, out: Path, place: Place) -> None:
    """Write config.json and model*.safetensors to `out`, in `weights_dtype`; all ranks call it.

    Adapters are merged into the weights, and also written by themselves to `out`/adapter.
    """
    weights = gather_weights(engine, plan, place)
    if place.rank == 0:
        if plan.model.lora_rank:
            base = next((Path(source.path).name for source in plan.initial_weights), None)
            write_adapter(weights, plan.model, base, out / ADAPTER_FOLDER)
            weights = merged(weights, plan.model)
        write_transformers_folder(weights, plan, out)
    torch.distributed.barrier()


def gather_weights(engine: Any, plan: Plan, place: Place) -> dict[str, torch.Tensor]:
    """Return every parameter whole, in host memory, tied ones once; empty on ranks other than 0.

    Under ZeRO-3 parameters are gathered one by one, so that no device ever holds more than one of them.
    """
    import deepspeed

    if plan.layout.zero_stage == 3:
        # After an evaluation some may be on their way, fetched ahead for a backward pass.
        engine.empty_partition_cache()
    weights: dict[str, torch.Tensor] = {}
    for name, parameter in engine.module.named_parameters():
        gathered: Any = contextlib.nullcontext()
        if plan.layout.zero_stage == 3:
            gathered = deepspeed.zero.GatheredParameters([parameter])
        with gathered:
            weight = whole_weight(parameter)
            if place.rank == 0:
                weights[name] = weight.cpu().clone()
    return weights


def weights_dtype(plan: Plan) -> torch.dtype:
    """Return the type that the weights leave the training in: those of fp16 in fp32, which everything reads."""
    return torch.bfloat16 if stored_precision(plan.layout.precision) == "bf16" else torch.float32


def write_transformers_folder(weights: dict[str, torch.Tensor], plan: Plan, out: Path) -> None:
    """Write `weights`, named as the transformers module names them, as transformers itself saves them."""
    dtype = weights_dtype(plan)
    with torch.device("meta"):
        shell = transformers.AutoModelForCausalLM.from_config(build_config(plan.model), dtype=dtype)
    weights = {name: weight.to(dtype) for name, weight in weights.items()}
    missing, unexpected = shell.load_state_dict(weights, strict=False, assign=True)
    shell.tie_weights()
    tied = {"lm_head.weight"} if plan.model.tied_embeddings else set()
    if unexpected or set(missing) - tied or any(p.is_meta for p in shell.parameters()):
        raise RuntimeError(
            f"gathered weights do not fit the model: missing {missing}, unexpected {unexpected}"
        )
    quiet_transformers()
    shell.save_pretrained(out, max_shard_size=_SHARD_SIZE)
