"""Rows of published measurements as forge's own terms: model, layout, hardware, framework.

A row's columns are those that `parse_row` reads. What a row leaves blank is filled only where one value is
meant (`grad_accum` from the global batch); a row that leaves out more, or that is not a data-parallel run of a
whole model, becomes `Unusable` with the reason.
"""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from benchmarks.cells import UnusableRowError, count, number, number_after, refuse_slips
from benchmarks.chips import Chip, find_chip, hop_s, network_gb_per_s
from benchmarks.frameworks import casts_eagerly, row_framework
from forge.plan.efficiency import Framework
from forge.plan.hardware import GIB, Hardware
from forge.plan.layout import Layout
from forge.plan.types import ModelPlan

DEFAULT_BUCKET_BYTES = 400_000_000

HEAD_DIMS = {"qwen3": 128, "qwen-3": 128, "gemma": 256, "mistral-nemo": 128, "gpt-oss": 64, "glm-4.5": 128}
"""Heads that are not hidden / heads wide, by the start of the model's name (the families' published configs)."""

NO_SOURCE = "(no source)"

_YES = frozenset({"yes", "true", "1"})


@dataclass(frozen=True, slots=True)
class Row:
    """One measured run."""

    line: int
    source: str
    label: str
    model: ModelPlan
    layout: Layout
    hardware: Hardware
    framework: Framework
    sequence_length: int
    shard_ranks: int | None
    fp8: bool
    eager_casts: bool
    """Whether fp8 is cast to kernel by kernel."""
    tokens_per_s_per_gpu: float | None
    peak_memory_gb: float | None
    parameters_published: float | None

    @property
    def step_tokens_per_gpu(self) -> float:
        """Tokens of one optimizer step for each device."""
        sequences = self.layout.micro_batch_sequences * self.layout.gradient_accumulation_steps
        return sequences * self.sequence_length / self.layout.sequence_parallel_degree


@dataclass(frozen=True, slots=True)
class Unusable:
    """A row that can't be used, and why."""

    line: int
    source: str
    reason: str


def read_rows(path: Path) -> tuple[list[Row], list[Unusable]]:
    """Read a file with the columns of `measured.csv`; every line comes back as one or the other."""
    rows: list[Row] = []
    unusable: list[Unusable] = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        for cells in reader:
            values = {
                name.strip().lower(): cell.strip()
                for name, cell in cells.items()
                if isinstance(name, str) and isinstance(cell, str)
            }
            source = values.get("source") or NO_SOURCE
            try:
                rows.append(parse_row(reader.line_num, values))
            except UnusableRowError as reason:
                unusable.append(Unusable(reader.line_num, source, str(reason)))
    return rows, unusable


def parse_row(line: int, values: dict[str, str]) -> Row:
    """Return one row in forge's terms.

    Raises:
        UnusableRowError: it can't be used; the message says why.
    """
    text = {key: value.lower() for key, value in values.items()}
    refuse_slips(text)
    _refuse_other_parallelism(text)
    if "fp4" in text.get("precision", ""):
        raise UnusableRowError(f"precision {text['precision']}: forge does not model it")
    model, published, gated = _model(text)
    sequence_length = count(text, "seq_len")
    framework = row_framework(text, gated)
    hardware = _hardware(text)
    context = _context_degree(text)
    layout = _layout(text, hardware, framework, context)
    rate = number(text.get("measured_tokens_per_s_per_gpu", ""))
    memory = number(text.get("measured_peak_mem_gb", ""))
    return Row(
        line=line,
        source=text.get("source") or NO_SOURCE,
        label=_label(text),
        model=model,
        layout=layout,
        hardware=hardware,
        framework=framework,
        sequence_length=sequence_length,
        shard_ranks=_shard_ranks(text, hardware),
        fp8="fp8" in text.get("precision", ""),
        eager_casts=casts_eagerly(text, framework),
        tokens_per_s_per_gpu=rate,
        peak_memory_gb=memory,
        parameters_published=published,
    )


def _context_degree(text: dict[str, str]) -> int:
    """Return how many devices share a sequence: context or sequence parallel, in the sharding or the notes."""
    sharding = text.get("sharding", "")
    named = number_after(sharding, "cp") or number_after(sharding, "sp")
    if named is None:
        described = re.search(r"(?:context|sequence)[- ]parallel\w*\s*=?\s*(\d+)", text.get("notes", ""))
        named = int(described.group(1)) if described else 1
    return max(named, 1)


def _label(text: dict[str, str]) -> str:
    parts = (
        text.get("model", ""),
        f"s{text.get('seq_len', '')}",
        f"{text.get('n_gpus', '')}x{text.get('hardware', '')}",
    )
    more = (text.get("sharding", ""), f"mb{text.get('micro_batch_per_gpu', '')}", text.get("act_ckpt", ""))
    return " ".join(part for part in (*parts, *more) if part)


def _refuse_other_parallelism(text: dict[str, str]) -> None:
    sharding = text.get("sharding", "")
    for key, name in (("tp", "tensor"), ("pp", "pipeline")):
        degree = max(number(text.get(key, "")) or 1, number_after(sharding, key) or 1)
        if degree > 1:
            raise UnusableRowError(f"{name} parallel over {degree:.0f}: forge plans data parallelism")
    if "3d" in sharding:
        raise UnusableRowError("3D parallel of unstated degrees: forge plans data parallelism")
    experts = number_after(sharding, "ep") or number_after(text.get("notes", ""), "ep")
    if number(text.get("moe_experts", "")) and (experts or 1) > 1:
        raise UnusableRowError("expert parallel: forge plans data parallelism")
    described = " ".join(
        text.get(key, "") for key in ("model", "framework", "sharding", "precision", "notes")
    )
    if re.search(r"\bq?lora\b|\bpeft\b", described) and not re.search(
        r"\b(no|not|without) q?lora\b", described
    ):
        raise UnusableRowError("LoRA: most weights are frozen")
    if "do not score" in described:
        raise UnusableRowError("marked as not to be scored")


def _model(text: dict[str, str]) -> tuple[ModelPlan, float | None, bool]:
    """Return the network, its published parameters, and whether its feed-forward has a gate."""
    layers, hidden = count(text, "layers"), count(text, "hidden")
    heads, vocab = count(text, "heads"), count(text, "vocab", default=32000)
    kv_heads = count(text, "kv_heads", default=heads)
    experts, active = count(text, "moe_experts", default=0), count(text, "moe_topk", default=0)
    if experts and not active:
        raise UnusableRowError("moe_topk blank for a mixture of experts")
    if experts <= 1:
        experts = active = 0
    published = number(text.get("params_total", ""))
    tied = text.get("tied", "") in _YES
    head_dim = _head_dim(text, hidden, heads)
    query, key_value = heads * head_dim, kv_heads * head_dim
    outside = vocab * hidden * (1 if tied else 2)
    attention = layers * 2 * hidden * (query + key_value)
    feed_forward = number(text.get("ffn", ""))
    if not feed_forward:
        if not published or experts:
            raise UnusableRowError("ffn blank")
        feed_forward = (published - outside - attention) / (3 * layers * hidden)
        if feed_forward <= 0:
            raise UnusableRowError("ffn blank and params_total too small to derive it")
        matrices = 3
    else:
        matrices = _matrices(published, outside + attention, layers * hidden * feed_forward * max(experts, 1))
        if not published:
            # A feed-forward of exactly four times the hidden size is the ungated one of GPT.
            matrices = 2 if feed_forward == 4 * hidden and not experts else 3
    # Two matrices of width f hold and compute what three of width 2 f / 3 do.
    intermediate = round(feed_forward * matrices / 3)
    shared = attention / layers + 2 * hidden + hidden * experts
    width = 3 * hidden * intermediate
    total = outside + layers * (shared + max(experts, 1) * width)
    active_total = outside + layers * (shared + max(active, 1) * width)
    model = ModelPlan(
        family="mixtral" if experts else "llama",
        layers=layers,
        hidden_size=hidden,
        attention_heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        intermediate_size=intermediate,
        vocab_size=vocab,
        max_sequence_length=count(text, "seq_len"),
        rope_theta=10000.0,
        rms_norm_epsilon=1e-5,
        tied_embeddings=tied,
        initializer_std=0.02,
        experts=experts,
        experts_per_token=active,
        parameters=round(total),
        active_parameters=round(active_total),
    )
    return model, published, matrices == 3


def _matrices(published: float | None, rest: float, one: float) -> int:
    """Return how many matrices a feed-forward has: what explains the published parameters."""
    if not published:
        return 3
    return 2 if abs(rest + 2 * one - published) < abs(rest + 3 * one - published) else 3


def _head_dim(text: dict[str, str], hidden: int, heads: int) -> int:
    for start, size in HEAD_DIMS.items():
        if text.get("model", "").startswith(start):
            return size
    return max(hidden // heads, 1)


def _hardware(text: dict[str, str]) -> Hardware:
    name = text.get("hardware", "")
    chip = find_chip(name)
    if chip is None:
        raise UnusableRowError(f"hardware {name or 'blank'}: no such chip in benchmarks/chips.py")
    devices = count(text, "n_gpus")
    a_node = min(count(text, "gpus_per_node", default=chip.gpus_per_node), devices)
    if chip.link_domain > chip.gpus_per_node:
        a_node = devices if devices <= chip.link_domain else math.gcd(devices, 64)
    a_node, whole = math.gcd(devices, a_node), a_node
    nodes = devices // a_node
    if a_node == 1 < whole:
        raise UnusableRowError(f"{devices} GPUs do not divide over nodes of {whole}")
    memory = number(match.group(1)) if (match := re.search(r"(\d+)\s*gb", name)) else None
    memory_gib = (
        min(chip.memory_gib, memory) if memory and memory < chip.memory_gib * 0.9 else chip.memory_gib
    )
    source = text.get("source", "")
    hop = hop_s(source, text.get("framework", ""))
    return replace(_chip_hardware(chip, name, source, nodes, a_node, memory_gib), node_hop_s=hop)


def _chip_hardware(
    chip: Chip, name: str, source: str, nodes: int, a_node: int, memory_gib: float
) -> Hardware:
    ceiling = chip.ceiling_tflops * 1e12
    network = network_gb_per_s(source, name, chip)
    return Hardware(
        name=f"{nodes * a_node}x{name}",
        device="cuda",
        gpu=name,
        nodes=nodes,
        devices_per_node=a_node,
        threads_per_process=4,
        device_memory_bytes=int(memory_gib * GIB),
        host_memory_bytes=1024 * GIB,
        peak_flops=chip.peak_tflops * 1e12,
        matmul_flops={"bf16": ceiling, "fp32": ceiling / 2},
        memory_bytes_per_s=chip.hbm_tb_per_s * 1e12,
        gpu_link_bytes_per_s=chip.link_gb_per_s * 1e9,
        node_link_bytes_per_s=network * 1e9,
        usd_per_gpu_hour=None,
        native_bf16=True,
    )


def _layout(text: dict[str, str], hardware: Hardware, framework: Framework, context: int) -> Layout:
    sharding = text.get("sharding", "")
    if hardware.world_size % context:
        raise UnusableRowError(
            f"{hardware.world_size} GPUs do not divide over {context} that share a sequence"
        )
    micro_batch, steps = _batches(text, hardware.world_size // context)
    precision = text.get("precision", "")
    attention: Literal["flash", "eager"] = (
        "eager" if text.get("attention", "") in ("math", "eager") else "flash"
    )
    optimizer, parameters = _offload(sharding)
    return Layout(
        zero_stage=_stage(sharding, framework, hardware.world_size),
        micro_batch_sequences=micro_batch,
        gradient_accumulation_steps=steps,
        activation_checkpointing=_checkpointing(text),
        offload_optimizer=optimizer,
        precision="fp32" if precision in ("fp32", "tf32", "32") else "bf16",
        bucket_bytes=DEFAULT_BUCKET_BYTES,
        offload_parameters=parameters,
        sequence_parallel_degree=context,
        attention=attention,
    )


def _batches(text: dict[str, str], data_ranks: int) -> tuple[int, int]:
    """Return micro-batch and accumulation, each from its column or from the global batch."""
    micro = number(text.get("micro_batch_per_gpu", ""))
    steps = number(text.get("grad_accum", ""))
    global_batch = number(text.get("global_batch_seqs", ""))
    share = global_batch / data_ranks if global_batch else None
    if micro and not steps:
        steps = share / micro if share else 1.0
    elif not micro and share:
        # One micro-batch a step where nothing else is said.
        micro = share / (steps or 1.0)
        steps = steps or 1.0
    if not micro:
        raise UnusableRowError("micro_batch_per_gpu blank, and no global batch to derive it from")
    if micro < 1:
        raise UnusableRowError(f"micro-batch of {micro:g} sequences: the columns contradict each other")
    return round(micro), max(round(steps or 1.0), 1)


def _stage(sharding: str, framework: Framework, world: int) -> Literal[0, 1, 2, 3]:
    """Return the ZeRO stage that a name of sharding amounts to."""
    name = re.sub(r"[\s_-]", "", sharding)
    stages: tuple[tuple[Literal[0, 1, 2, 3], tuple[str, ...]], ...] = (
        (2, ("zero2", "gradop")),
        (1, ("zero1", "distributedoptimizer", "distopt", "optimizersharding")),
        (0, ("zero0", "ddp", "noshard")),
        (3, ("zero3", "fsdp", "hsdp", "fullshard", "hybridshard")),
    )
    for stage, names in stages:
        if any(known in name for known in names):
            return stage
    if name in ("none", "no") or world == 1:
        return 0
    if framework.key == "megatron":
        # Its recipes for data parallelism shard the optimizer, whether the name says so or not.
        return 1
    return 0 if re.fullmatch(r"dp\d*", name) else 3


def _offload(
    sharding: str,
) -> tuple[Literal["none", "cpu", "nvme"], Literal["none", "cpu", "nvme"]]:
    if "offload" not in sharding:
        return "none", "none"
    place: Literal["cpu", "nvme"] = "nvme" if "nvme" in sharding else "cpu"
    return place, place if "param" in sharding else "none"


def _checkpointing(text: dict[str, str]) -> Literal["none", "selective", "full"]:
    column = text.get("act_ckpt", "")
    if "selective" in column or "attn" in column:
        return "selective"
    if column.startswith(("full", "yes", "true", "uniform", "block")) or "full" in column:
        return "full"
    return "none"


def _shard_ranks(text: dict[str, str], hardware: Hardware) -> int | None:
    sharding = text.get("sharding", "")
    if "hsdp" in sharding or "hybrid" in sharding:
        return hardware.devices_per_node
    if match := re.search(r"group of (\d+)", sharding):
        return min(int(match.group(1)), hardware.world_size)
    return None
