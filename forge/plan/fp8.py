"""Matrix products in fp8: which there are, what they gain, and what they ask for.

Weights, gradients, states, what is kept for the backward pass and what devices send each other stay what they are in
bf16. What a linear layer multiplies is cast to fp8 as it is multiplied, each row with a scale of its own (torchao's
`rowwise`): a token's output depends on no other token, so documents in one sequence stay apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from forge.errors import SpecError
from forge.plan.efficiency import multiplies_fp8
from forge.plan.hardware import Hardware
from forge.plan.linears import linear_sizes
from forge.plan.types import ModelPlan

LINEAR_SPEEDUP = 1.2
"""Of a linear layer over bf16, with its casts in fused kernels. Llama-3-8B on 8 H100 trains at 6,468 tokens/s a GPU
with torchao's rowwise scaling and at 5,760 in bf16 (torchtitan, commit 069bae286), 1.12 times as fast, which is what
the estimate of that run has with this number. Forge's own speed is not measured."""

LEAST_OUTPUTS, LEAST_INPUTS = 2048, 1024
"""Of a matrix, both to be surpassed: smaller ones are as fast in bf16 on an H100, or faster."""

SMALL_OUTPUTS, SMALL_INPUTS = 4096, 2048
"""A matrix no larger than this either way gains nothing either (torchao 0.18, filter of its rowwise recipe)."""

MULTIPLE = 16
"""Of both sizes of a matrix, and of the tokens in a product: what the GPU's fp8 instructions take."""


def gains_by_fp8(inputs: int, outputs: int) -> bool:
    """Return whether a linear layer of this size is multiplied in fp8."""
    if inputs % MULTIPLE or outputs % MULTIPLE:
        return False
    if outputs <= LEAST_OUTPUTS or inputs <= LEAST_INPUTS:
        return False
    return outputs > SMALL_OUTPUTS or inputs > SMALL_INPUTS


def fp8_linears(model: ModelPlan) -> tuple[str, ...]:
    """Return the names of the linear layers that are multiplied in fp8."""
    return tuple(name for name, sizes in linear_sizes(model).items() if gains_by_fp8(*sizes))


def linear_time_ratio(model: ModelPlan, *names: str) -> float:
    """Return the time of these linear layers of one input, over that in bf16."""
    sizes = linear_sizes(model)
    fast = set(fp8_linears(model))
    whole = sum(sizes[name][1] for name in names)
    in_fp8 = sum(sizes[name][1] for name in names if name in fast)
    return 1 - in_fp8 / whole * (1 - 1 / LINEAR_SPEEDUP)


def check_fp8(model: ModelPlan, hardware: Hardware, engine: dict[str, Any], train: dict[str, Any]) -> None:
    """Refuse fp8 where nothing multiplies it, or where it gains nothing.

    Raises:
        SpecError: with a line for each reason.
    """
    if problems := list(_problems(model, hardware, engine, train)):
        raise SpecError(*(f"train.precision: {problem}" for problem in problems))


def _problems(
    model: ModelPlan, hardware: Hardware, engine: dict[str, Any], train: dict[str, Any]
) -> Iterator[str]:
    if hardware.device == "cpu" or not multiplies_fp8(hardware.gpu):
        device = f"hardware={hardware.name}" if hardware.device == "cpu" else hardware.gpu
        other = "bf16" if hardware.device == "cpu" or hardware.native_bf16 else "fp16"
        yield f"{device} does not multiply fp8: use train.precision={other}, or GPUs of Ada, Hopper or Blackwell"
    elif not engine["compile_layers"]:
        yield (
            "fp8 is slower than bf16 unless a compiler fuses its casts: use engine.compile_layers=true, or "
            "train.precision=bf16"
        )
    elif not fp8_linears(model):
        yield (
            f"no matrix of a layer is large enough to gain by fp8 (more than {LEAST_INPUTS} inputs and "
            f"{LEAST_OUTPUTS} outputs): use train.precision=bf16"
        )
    elif train["sequence_length"] % MULTIPLE:
        yield (
            f"fp8 takes tokens by {MULTIPLE}, and a sequence has {train['sequence_length']}: make "
            f"train.sequence_length a multiple of {MULTIPLE}, or use train.precision=bf16"
        )
