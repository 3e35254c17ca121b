"""How well chips and frameworks do what their datasheets allow: the constants of the time estimate.

A constant that can be counted (bytes that a kernel moves, products that are computed again) is written here with
the count. What can't be counted is fitted: `FITTED` names each such constant, its physical bounds and the value
expected before any fit, and `forge.plan.fitted` holds the result. `benchmarks/fit_estimates.py` fits them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from forge.plan.fitted import VALUES

Generation = Literal["volta", "ampere", "ada", "hopper", "blackwell", "cdna"]

GENERATIONS: dict[str, Generation] = {
    "v100": "volta",
    "t4": "volta",
    "a100": "ampere",
    "a800": "ampere",
    "a10": "ampere",
    "a40": "ampere",
    "a6000": "ampere",
    "3090": "ampere",
    "l40": "ada",
    "l4": "ada",
    "4090": "ada",
    "h100": "hopper",
    "h200": "hopper",
    "h800": "hopper",
    "h20": "hopper",
    "gh200": "hopper",
    "b200": "blackwell",
    "b300": "blackwell",
    "gb200": "blackwell",
    "gb300": "blackwell",
    "5090": "blackwell",
    "mi250": "cdna",
    "mi300": "cdna",
    "mi325": "cdna",
    "mi355": "cdna",
}


def generation_of(gpu: str) -> Generation:
    """Return the generation of a chip by its name (`h100-sxm-80gb`); `hopper` where the name says nothing."""
    known = [chip for chip in GENERATIONS if chip in gpu.lower()]
    return GENERATIONS[max(known, key=len)] if known else "hopper"


FP8_GENERATIONS = frozenset({"ada", "hopper", "blackwell", "cdna"})


def multiplies_fp8(gpu: str) -> bool:
    """Return whether a chip has instructions for products in fp8."""
    return generation_of(gpu) in FP8_GENERATIONS


@dataclass(frozen=True, slots=True)
class Kernels:
    """Bytes that element-wise kernels move for one token in 16-bit training, counted kernel by kernel."""

    hidden_bytes: float
    """Forward, a layer, for each hidden unit: two norms, two residual additions."""
    query_bytes: float
    """Forward, a layer, for each unit of queries and keys: rotary embedding, layout changes."""
    feed_forward_bytes: float
    """Forward, a layer, for each unit of the feed-forward width: the activation and its gate."""
    backward_ratio: float
    """Bytes of the backward pass for each byte of the forward pass."""
    logits_bytes: float
    """Forward and backward, for each entry of the vocabulary: casts, log-softmax, its gradient."""
    score_bytes: float
    """Forward, for each score that unfused attention writes out: product, scale, mask, softmax, dropout, product."""
    optimizer_bytes: float
    """For each parameter a device owns: gradient norm, AdamW on fp32 states, the cast to 16 bit."""


EAGER_TRANSFORMERS = Kernels(74.0, 21.0, 10.0, 1.7, 30.0, 24.0, 40.0)
"""transformers' own modules. A norm casts to fp32, squares, averages, scales, casts and weighs: 31 bytes a unit."""

EAGER_GPT = Kernels(30.0, 16.0, 54.0, 2.0, 30.0, 24.0, 40.0)
"""transformers' modules of GPT-2's kind: two norms, two dropouts with their masks, two additions; copies between
layouts of heads; a GELU of eight kernels, 36 bytes a unit of a feed-forward 1.5 times as wide as its gated equal."""

EAGER = Kernels(26.0, 12.0, 8.0, 1.6, 26.0, 20.0, 60.0)
"""PyTorch with the norm as one kernel, the rest one kernel an operation; AdamW without fusion."""

FUSED = Kernels(14.0, 6.0, 6.0, 1.6, 14.0, 10.0, 36.0)
"""Norm with residual, activation with gate, rotary embedding and loss each in one kernel (compiled, or by hand)."""


@dataclass(frozen=True, slots=True)
class Recompute:
    """Shares of a layer's forward pass that the backward pass computes again.

    By default every other linear product and all element-wise kernels, as torchtitan's policy does: keys, output and
    up-projection of a Llama layer, 0.37 to 0.39 of its products; attention is kept.
    """

    linear: float
    attention: float
    element_wise: float


ATTENTION_ONLY = Recompute(linear=0.0, attention=1.0, element_wise=0.0)
"""Megatron's selective recompute (Korthikanti 2022, §5)."""

EVERY_OTHER_LAYER = Recompute(linear=0.39, attention=0.5, element_wise=0.5)
"""Half of the layers, each without its last product (0.22 of a Llama layer's): fms-fsdp."""

ELEMENT_WISE_ONLY = Recompute(linear=0.0, attention=0.0, element_wise=1.0)
"""Outputs of linear layers and of attention are all kept (Touvron 2023, §2.4): what `selective` means in forge."""


@dataclass(frozen=True, slots=True)
class Framework:
    """What runs the step. Constants named `<kind>.<key>` in `FITTED` belong to it."""

    key: str
    kernels: Kernels
    host_layer_s: float
    """The host's time to launch one layer's kernels, forward and backward."""
    gathers_by_module: bool
    """Whether stage 3 gathers matrix by matrix with hooks on every module (DeepSpeed), not layer by layer (FSDP)."""
    looped_experts: bool = False
    """Whether experts are modules called one after the other (transformers before 5), not one grouped product."""
    gradient_bytes: float = 2.0
    """Bytes of a gradient element on the wire."""
    selective: Recompute = Recompute(linear=0.38, attention=0.0, element_wise=1.0)
    """What selective checkpointing computes again."""
    attention: Literal["flash1", "flash2", "flash3"] = "flash2"
    """Kernel behind the names `flash` and `sdpa`."""
    recompute_stops_early: bool = True
    """Whether full checkpointing leaves out the last product of a layer, whose output the backward pass does not need
    (PyTorch's checkpoint without re-entry, from 2.1 on)."""
    whole_tensor_shards: bool = False
    """Whether ZeRO 1 gives whole tensors to devices: all reduce all gradients, each owner broadcasts its tensors."""
    accumulation_bytes: float = 6.0
    """For each parameter and micro-batch: adding a gradient to the sum of those before (two reads and a write)."""
    refresh_overlaps: bool = False
    """Whether the parameters of ZeRO 1 and 2 come back while the next forward pass runs, not before it."""


FRAMEWORKS: dict[str, Framework] = {
    framework.key: framework
    for framework in (
        Framework(
            "deepspeed", EAGER_TRANSFORMERS, 3.0e-3, gathers_by_module=True, selective=ELEMENT_WISE_ONLY
        ),
        Framework(
            "deepcompile", EAGER_TRANSFORMERS, 2.0e-3, gathers_by_module=False, recompute_stops_early=False
        ),
        Framework("transformers_fsdp", EAGER_TRANSFORMERS, 3.0e-3, gathers_by_module=False),
        Framework("fsdp", EAGER, 1.5e-3, gathers_by_module=False),
        Framework("fsdp_compiled", FUSED, 0.7e-3, gathers_by_module=False),
        Framework(
            "megatron",
            FUSED,
            1.2e-3,
            gathers_by_module=False,
            selective=ATTENTION_ONLY,
            recompute_stops_early=False,
            accumulation_bytes=8.0,
            refresh_overlaps=True,
        ),
    )
}

MODULES_A_LAYER = 13
"""Modules of a transformers Llama layer, containers and activation included: each has DeepSpeed's hooks at stage 3."""

MODULES_AN_EXPERT = 5
MATRICES_A_LAYER = 7
TENSORS_A_LAYER = 9
"""Weight matrices and norms of a Llama layer."""

MATRICES_AN_EXPERT = 3

HOST_EXPERT_S = 0.6e-3
"""The host's time for one looped expert of one layer, forward and backward: some 50 kernels and two waits."""

FORGE_FRAMEWORK = FRAMEWORKS["deepspeed"]
"""What forge's engine is: DeepSpeed over transformers' own modules with SDPA, not compiled."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant that is fitted: what is known of it before the fit."""

    expected: float
    low: float
    high: float
    spread: float
    """How far, as a natural logarithm, a fit may move it at the price of one source's typical error."""
    why: str


FITTED: dict[str, Constant] = {
    "matmul.volta": Constant(
        0.75, 0.45, 0.95, 0.15, "share of the measured ceiling that large products sustain"
    ),
    "matmul.ampere": Constant(0.86, 0.70, 0.97, 0.10, "as above; A100 keeps its clock under load"),
    "matmul.ada": Constant(0.85, 0.60, 0.97, 0.10, "as above"),
    "matmul.hopper": Constant(0.74, 0.60, 0.95, 0.10, "as above; H100 lowers its clock at 700 W"),
    "matmul.blackwell": Constant(0.75, 0.55, 0.95, 0.10, "as above"),
    "matmul.cdna": Constant(0.80, 0.55, 0.95, 0.10, "as above"),
    "flash.volta": Constant(
        0.30, 0.15, 0.6, 0.2, "share of the ceiling in fused attention, head 128, long sequences"
    ),
    "flash.ampere": Constant(
        0.62, 0.45, 0.75, 0.1, "FlashAttention-2 (Dao 2023, fig. 5): 170 to 190 TFLOP/s"
    ),
    "flash.ada": Constant(0.60, 0.40, 0.75, 0.1, "as above"),
    "flash.hopper": Constant(0.40, 0.33, 0.70, 0.15, "FlashAttention-2 (Dao 2023, fig. 7): 335 TFLOP/s"),
    "flash.blackwell": Constant(0.45, 0.30, 0.75, 0.15, "as above"),
    "flash.cdna": Constant(0.45, 0.25, 0.70, 0.15, "as above"),
    "flash3_share": Constant(
        1.5, 1.2, 1.9, 0.1, "FlashAttention-3 and cuDNN against 2, from Hopper on (Shah 2024, fig. 5)"
    ),
    "flash1_share": Constant(
        0.62, 0.45, 0.8, 0.1, "FlashAttention-1 against 2 (Dao 2023, fig. 4): 1.6 to 2 times slower"
    ),
    "hbm": Constant(0.80, 0.65, 0.92, 0.1, "share of HBM bandwidth that element-wise kernels sustain"),
    "depth": Constant(
        160.0, 60.0, 500.0, 0.5, "length of a product's inner dimension at which half is start and end"
    ),
    "fp8_speedup": Constant(1.5, 1.2, 1.9, 0.1, "fp8 linear layers against bf16, casts included"),
    "link": Constant(0.70, 0.50, 0.90, 0.1, "share of the link in a node; collectives.csv: 0.56 at 256 MB"),
    "network": Constant(
        0.90, 0.50, 0.97, 0.15, "share of a node's network that NCCL reaches with large messages"
    ),
    "network.volta": Constant(
        0.07, 0.04, 0.70, 0.3, "as above, through sockets and the host's memory: 20 to 40 Gbit/s a node"
    ),
    "hop_s": Constant(
        3e-6,
        2e-6,
        45e-6,
        0.4,
        "one step of a ring between nodes: 3 to 5 us on InfiniBand, 15 to 45 us on EFA",
    ),
    "hooks_s": Constant(
        1.0e-3, 0.3e-3, 1.5e-3, 0.3, "DeepSpeed's host time a module at stage 3, forward and backward"
    ),
    "contention": Constant(
        0.9, 0.4, 1.0, 0.2, "compute, as a share of its time, behind which transfers can hide"
    ),
    "exposed.volta": Constant(
        0.95, 0.3, 1.0, 0.3, "as below, whatever the framework: transfers through the host's memory"
    ),
    "exposed.deepspeed": Constant(
        0.5, 0.1, 0.8, 0.3, "share of transfers that waits for nothing to hide behind"
    ),
    "exposed.deepcompile": Constant(0.30, 0.05, 0.8, 0.3, "as above"),
    "exposed.transformers_fsdp": Constant(0.5, 0.1, 0.8, 0.3, "as above"),
    "exposed.fsdp": Constant(0.25, 0.05, 0.8, 0.3, "as above"),
    "exposed.fsdp_compiled": Constant(0.25, 0.05, 0.8, 0.3, "as above"),
    "exposed.megatron": Constant(0.3, 0.05, 0.8, 0.3, "as above"),
}


def constants() -> dict[str, float]:
    """Return the value of every fitted constant: what the last fit gave, else what is expected."""
    return {name: VALUES.get(name, constant.expected) for name, constant in FITTED.items()}
