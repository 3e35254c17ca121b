"""Memory of compiled layers: what a plan says beside what one forward and backward pass really allocates.

    python -m benchmarks.memory_compiled

`benchmarks.memory` counts on fake tensors, which torch.compile's kernels can't run on; this one runs a small model
on the CPU and reads torch's own account of allocations. One row a family and precision, layers compiled or not, or
compiled and fully checkpointed: bytes saved for the backward pass, and the most allocated at any moment of the pass,
gradients included.

    python -m benchmarks.memory_compiled --fp8

has each linear layer multiply in fp8, emulated, and compares with what a plan says in bf16; it needs torchao.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch

from forge.engine.compiled import compile_layers
from forge.engine.documents import Documents
from forge.engine.fp8 import multiply_in_fp8
from forge.engine.loss import micro_batch_loss
from forge.engine.model import build_model
from forge.plan import fp8 as plan_fp8
from forge.plan.layout import Layout
from forge.plan.memory import allocated_bytes, saved_bytes
from forge.plan.types import ModelPlan

Family = Literal["llama", "mistral", "qwen2", "qwen3"]
FAMILIES: tuple[Family, ...] = ("llama", "mistral", "qwen2", "qwen3")
ROWS, LENGTH = 2, 512
RECOMPUTED_ROWS = 4
"""Of a micro-batch with checkpointing: enough that a layer's backward pass, and not the step, needs most."""
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
KINDS = ("plain", "compiled", "compiled, recomputed")
MIB = 1024**2


def example_model(family: Family) -> ModelPlan:
    """Return a model in which no two widths are alike."""
    from tests.factories import tiny_plan

    shape = {
        "layers": 4,
        "hidden_size": 384,
        "attention_heads": 8,
        "kv_heads": 4,
        "head_dim": 48,
        "intermediate_size": 1_088,
        "vocab_size": 2_048,
        "max_sequence_length": LENGTH,
    }
    return replace(tiny_plan(model=shape).model, family=family)


def layout_of(precision: Any, compiled: bool, recompute: bool = False) -> Layout:
    """Return the layout of one process that keeps no optimizer states beside: gradients in place, one bucket."""
    rows, kind = (RECOMPUTED_ROWS, "full") if recompute else (ROWS, "none")
    return Layout(0, rows, 1, kind, "none", precision, 25_000_000, compile_layers=compiled)  # type: ignore[arg-type]


def measure(model: ModelPlan, layout: Layout, fp8: bool = False) -> tuple[int, int]:
    """Return (bytes saved by a forward pass, most allocated during forward and backward, weights left out)."""
    torch.compiler.reset()  # as a process of its own would begin
    network = build_model(model, 0, dtype=DTYPES[layout.precision])
    if fp8:
        multiply_in_fp8(network)
    if layout.compile_layers:
        compile_layers(network, layout.activation_checkpointing == "full")
    rows = layout.micro_batch_sequences
    ids = torch.randint(3, model.vocab_size, (rows, LENGTH), generator=torch.Generator().manual_seed(0))
    positions = np.concatenate([np.arange(300), np.arange(LENGTH - 300)])[None].repeat(rows, 0)
    documents = Documents.at(positions, torch.device("cpu"))
    weights = {weight.untyped_storage().data_ptr() for weight in network.parameters()}
    saved: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage
        return tensor

    def run() -> None:
        losses = micro_batch_loss(network, ids, ids, model, documents=documents)
        losses.total.backward()  # type: ignore[no-untyped-call]
        network.zero_grad(set_to_none=True)

    run()  # compiles
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run()
    total = sum(storage.nbytes() for storage in saved.values())
    saved.clear()
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        run()
    held = most = 0
    for event in profile.profiler.kineto_results.events():  # in order of time
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return total, most


def main() -> None:
    """Print one row a configuration."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fp8", action="store_true", help="multiply in fp8, all matrices however small")
    fp8 = parser.parse_args().fp8
    if fp8:
        for bound in ("LEAST_OUTPUTS", "LEAST_INPUTS", "SMALL_OUTPUTS", "SMALL_INPUTS"):
            setattr(plan_fp8, bound, 0)
    print(
        "| family | precision | layers | saved MiB: plan | measured | off | peak MiB: plan | measured | off |"
    )
    print("|---|---|---|---:|---:|---:|---:|---:|---:|")
    for family in FAMILIES:
        model = example_model(family)
        for precision in ("bf16",) if fp8 else DTYPES:
            for kind in ("compiled", "compiled, recomputed") if fp8 else KINDS:
                layout = layout_of(precision, kind != "plain", kind == "compiled, recomputed")
                saved, peak = measure(model, layout, fp8)
                planned = saved_bytes(model, layout, LENGTH)
                held = model.parameters * (2 if precision == "bf16" else 4) + 2 * 4 * model.parameters
                tokens = layout.micro_batch_sequences * LENGTH
                planned_peak = allocated_bytes(model, layout, 1, LENGTH, tokens) - held
                print(
                    f"| {family} | {'fp8' if fp8 else precision} | {kind} | {planned / MIB:.1f} | "
                    f"{saved / MIB:.1f} | {saved / planned - 1:+.1%} | {planned_peak / MIB:.1f} | {peak / MIB:.1f} | "
                    f"{peak / planned_peak - 1:+.1%} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
