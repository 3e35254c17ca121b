"""The configurations over which `benchmarks/memory.py` compares formula and oracle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from forge.plan.layout import Layout
from forge.plan.lora import ATTENTION, FEED_FORWARD, adapted
from forge.plan.model import plan_model
from forge.plan.types import ModelPlan

SHAPES: dict[str, dict[str, Any]] = {
    # name: layers, hidden, heads, kv heads, feed-forward, vocabulary, tied, experts, experts a token, head size, family
    "10M": dict(zip("LhakiV", (6, 320, 5, 5, 864, 8192), strict=True), tied=True),
    "20M": dict(zip("LhakiV", (5, 512, 8, 4, 1408, 4096), strict=True)),
    "125M": dict(zip("LhakiV", (12, 768, 12, 12, 2048, 32000), strict=True), tied=True),
    "350M": dict(zip("LhakiV", (24, 1024, 16, 8, 2816, 32000), strict=True)),
    "1B": dict(zip("LhakiV", (16, 2048, 32, 8, 8192, 128256), strict=True), tied=True),
    "3B": dict(zip("LhakiV", (28, 3072, 24, 8, 8192, 128256), strict=True), tied=True),
    "7B": dict(zip("LhakiV", (32, 4096, 32, 32, 11008, 32000), strict=True)),
    "8B": dict(zip("LhakiV", (32, 4096, 32, 8, 14336, 128256), strict=True)),
    "13B": dict(zip("LhakiV", (40, 5120, 40, 40, 13824, 32000), strict=True)),
    "34B": dict(zip("LhakiV", (48, 8192, 64, 8, 22016, 32000), strict=True)),
    "70B": dict(zip("LhakiV", (80, 8192, 64, 8, 28672, 128256), strict=True)),
    "MoE 0.5B": dict(zip("LhakiV", (8, 1024, 16, 4, 2048, 32000), strict=True), E=8, top=2),
    "MoE 1.5B": dict(zip("LhakiV", (12, 1024, 16, 16, 2816, 32000), strict=True), E=16, top=4),
    "8x7B": dict(zip("LhakiV", (32, 4096, 32, 8, 14336, 32000), strict=True), E=8, top=2),
    "Qwen2 0.5B": dict(zip("LhakiV", (24, 896, 14, 2, 4864, 151936), strict=True), tied=True, family="qwen2"),
    "Qwen2 7B": dict(zip("LhakiV", (28, 3584, 28, 4, 18944, 152064), strict=True), family="qwen2"),
    "Qwen3 20M": dict(zip("LhakiV", (5, 512, 8, 4, 1408, 4096), strict=True), d=128, family="qwen3"),
    "Qwen3 0.6B": dict(
        zip("LhakiV", (28, 1024, 16, 8, 3072, 151936), strict=True), d=128, tied=True, family="qwen3"
    ),
    "Qwen3 8B": dict(zip("LhakiV", (36, 4096, 32, 8, 12288, 151936), strict=True), d=128, family="qwen3"),
    "Qwen3 MoE 0.5B": dict(
        zip("LhakiV", (8, 1024, 16, 4, 512, 32000), strict=True), d=128, E=32, top=4, family="qwen3_moe"
    ),
    "Qwen3 30B-A3B": dict(
        zip("LhakiV", (48, 2048, 32, 4, 768, 151936), strict=True), d=128, E=128, top=8, family="qwen3_moe"
    ),
}


@dataclass(frozen=True, slots=True)
class Configuration:
    """One line of the table."""

    model: str
    layout: Layout
    world_size: int
    sequence_length: int
    adapters: tuple[int, tuple[str, ...]] | None = None
    """Rank and target modules of LoRA; None trains the weights."""

    def __str__(self) -> str:
        layout = self.layout
        extras = [
            text
            for text, wanted in (
                (
                    f"accumulation {layout.gradient_accumulation_steps}",
                    layout.gradient_accumulation_steps > 1,
                ),
                (f"loss in {layout.loss_chunks}", layout.loss_chunks > 1),
                ("eager", layout.attention == "eager"),
                (f"bucket {layout.bucket_bytes / 1e6:.0f} MB", layout.bucket_bytes != 100_000_000),
                ("bf16 states", layout.optimizer_states == "bf16"),
                ("Muon", layout.optimizer == "muon"),
                (f"experts over {layout.expert_parallel_degree}", layout.expert_parallel_degree > 1),
                ("optimizer on the host", layout.offload_optimizer != "none"),
                ("parameters on the host", layout.offload_parameters != "none"),
                (self._adapted(), self.adapters is not None),
            )
            if wanted
        ]
        return " ".join(
            [
                f"{self.model}, ZeRO-{layout.zero_stage}, {layout.precision}, {layout.activation_checkpointing},",
                f"{self.sequence_length} x {layout.micro_batch_sequences}, {self.world_size} GPU",
                *(f", {extra}" for extra in extras),
            ]
        ).replace(" ,", ",")

    def _adapted(self) -> str:
        rank, targets = self.adapters or (0, ())
        return f"LoRA {rank} of {len(targets)}"

    def model_plan(self) -> ModelPlan:
        """Return the network."""
        shape = SHAPES[self.model]
        experts = shape.get("E", 0)
        spec = {
            "family": shape.get("family", "mixtral" if experts else "llama"),
            "layers": shape["L"],
            "hidden_size": shape["h"],
            "attention_heads": shape["a"],
            "kv_heads": shape["k"],
            "head_dim": shape.get("d"),
            "intermediate_size": shape["i"],
            "rope_theta": 1e4,
            "rms_norm_epsilon": 1e-5,
            "tied_embeddings": shape.get("tied", False),
            "initializer_std": 0.02,
            "experts": experts,
            "experts_per_token": shape.get("top", 0),
        }
        model = plan_model(spec, shape["V"], self.sequence_length)
        if self.adapters is None:
            return model
        rank, targets = self.adapters
        train = {"lora_rank": rank, "lora_alpha": 32.0, "lora_dropout": 0.0, "lora_target_modules": targets}
        return adapted(model, train, starts_from_weights=True)


def configuration(
    model: str,
    stage: Any,
    precision: Any,
    checkpointing: Any,
    length: int,
    micro: int,
    world: int,
    **more: Any,
) -> Configuration:
    """Return a configuration; `more` are fields of Layout."""
    adapters = more.pop("adapters", None)
    layout = Layout(
        zero_stage=stage,
        micro_batch_sequences=micro,
        gradient_accumulation_steps=more.pop("gradient_accumulation_steps", 1),
        activation_checkpointing=checkpointing,
        offload_optimizer=more.pop("offload_optimizer", "none"),
        precision=precision,
        bucket_bytes=more.pop("bucket_bytes", 100_000_000),
        **more,
    )
    return Configuration(model, layout, world, length, adapters)


_NARROW = {"optimizer_states": "bf16"}
_ACCUMULATED = {"gradient_accumulation_steps": 2}
_OPTIMIZER = {"offload_optimizer": "cpu"}
_MUON = {"optimizer": "muon"}
_BOTH = {"offload_optimizer": "cpu", "offload_parameters": "cpu"}

_ROWS: list[tuple[Any, ...]] = [
    ("10M", 0, "fp32", "none", 512, 1, 1),
    ("10M", 1, "bf16", "none", 512, 16, 1),
    ("10M", 2, "bf16", "full", 2048, 8, 2),
    ("10M", 3, "fp32", "selective", 1024, 4, 2),
    ("20M", 0, "fp32", "none", 1024, 8, 2),
    ("20M", 0, "fp32", "full", 512, 4, 8),
    ("20M", 1, "fp32", "none", 512, 4, 2),
    ("20M", 1, "bf16", "selective", 2048, 16, 8),
    ("20M", 2, "bf16", "none", 512, 4, 1),
    ("20M", 3, "bf16", "none", 1024, 2, 8),
    ("20M", 2, "bf16", "none", 1024, 2, 2, {"attention": "eager"}),
    ("125M", 0, "fp32", "none", 1024, 4, 8),
    ("125M", 0, "fp32", "selective", 2048, 2, 1),
    ("125M", 1, "bf16", "none", 2048, 8, 8),
    ("125M", 1, "bf16", "full", 512, 16, 64),
    ("125M", 1, "fp32", "selective", 1024, 4, 4),
    ("125M", 2, "bf16", "none", 4096, 4, 8),
    ("125M", 2, "fp32", "full", 2048, 8, 16),
    ("125M", 3, "bf16", "none", 1024, 16, 8),
    ("125M", 3, "bf16", "full", 8192, 2, 4),
    ("125M", 1, "bf16", "none", 1024, 8, 1, {"gradient_accumulation_steps": 2}),
    ("125M", 1, "bf16", "full", 1024, 8, 8, {"loss_chunks": 8}),
    ("350M", 0, "fp32", "full", 1024, 8, 8),
    ("350M", 1, "bf16", "none", 2048, 4, 8),
    ("350M", 1, "bf16", "selective", 4096, 4, 16),
    ("350M", 2, "bf16", "none", 2048, 1, 1),
    ("350M", 2, "bf16", "full", 8192, 8, 64),
    ("350M", 2, "fp32", "none", 512, 16, 8),
    ("350M", 3, "bf16", "selective", 2048, 8, 8),
    ("350M", 3, "fp32", "full", 4096, 2, 8),
    ("350M", 2, "bf16", "none", 2048, 4, 8, {"gradient_accumulation_steps": 2}),
    ("350M", 2, "bf16", "none", 2048, 2, 8, {"attention": "eager"}),
    ("350M", 1, "bf16", "full", 2048, 4, 8, {"attention": "eager"}),
    ("1B", 0, "fp32", "full", 2048, 1, 8),
    ("1B", 1, "bf16", "none", 2048, 4, 8),
    ("1B", 1, "bf16", "full", 8192, 2, 32),
    ("1B", 2, "bf16", "selective", 4096, 4, 8),
    ("1B", 2, "bf16", "full", 131072, 1, 8),
    ("1B", 3, "bf16", "none", 4096, 2, 8),
    ("1B", 2, "bf16", "full", 8192, 4, 8, {"loss_chunks": 16}),
    ("1B", 1, "bf16", "none", 512, 1, 1),
    ("3B", 1, "bf16", "full", 4096, 4, 8),
    ("3B", 2, "bf16", "none", 2048, 2, 16),
    ("3B", 3, "bf16", "selective", 8192, 1, 8),
    ("7B", 1, "bf16", "full", 4096, 4, 64),
    ("7B", 1, "bf16", "none", 2048, 2, 16),
    ("7B", 2, "bf16", "none", 4096, 1, 64),
    ("7B", 2, "bf16", "selective", 4096, 4, 8),
    ("7B", 3, "bf16", "full", 4096, 8, 8),
    ("7B", 3, "bf16", "none", 2048, 4, 64),
    ("7B", 3, "fp32", "full", 2048, 4, 32),
    ("7B", 3, "bf16", "full", 131072, 1, 128),
    ("7B", 2, "bf16", "full", 2048, 8, 8, {"gradient_accumulation_steps": 2}),
    ("8B", 3, "bf16", "full", 8192, 2, 8),
    ("8B", 2, "bf16", "full", 8192, 1, 16),
    ("8B", 1, "bf16", "selective", 4096, 2, 32),
    ("13B", 3, "bf16", "full", 4096, 4, 32),
    ("13B", 2, "bf16", "none", 4096, 2, 512),
    ("13B", 1, "bf16", "full", 2048, 8, 128),
    ("34B", 3, "bf16", "full", 16384, 1, 64),
    ("34B", 2, "bf16", "full", 4096, 4, 512),
    ("70B", 3, "bf16", "full", 8192, 2, 256),
    ("70B", 1, "bf16", "full", 4096, 1, 512),
    ("MoE 0.5B", 1, "bf16", "none", 2048, 4, 8),
    ("MoE 0.5B", 2, "bf16", "full", 4096, 4, 8),
    ("MoE 0.5B", 3, "bf16", "selective", 1024, 8, 4),
    ("MoE 0.5B", 3, "bf16", "none", 1024, 4, 8),
    ("MoE 0.5B", 0, "fp32", "none", 512, 2, 1),
    ("MoE 1.5B", 1, "fp32", "full", 2048, 2, 8),
    ("MoE 1.5B", 2, "bf16", "none", 2048, 2, 16),
    ("MoE 1.5B", 3, "bf16", "full", 8192, 2, 64),
    ("8x7B", 3, "bf16", "full", 4096, 2, 64),
    ("8x7B", 2, "bf16", "full", 4096, 1, 128),
    ("20M", 3, "bf16", "full", 512, 1, 2, _OPTIMIZER | {"gradient_accumulation_steps": 2}),
    ("20M", 3, "bf16", "none", 512, 1, 8, _BOTH),
    ("125M", 1, "bf16", "none", 1024, 2, 1, _OPTIMIZER | {"gradient_accumulation_steps": 2}),
    ("125M", 1, "bf16", "none", 1024, 2, 8, _OPTIMIZER | {"gradient_accumulation_steps": 2}),
    ("125M", 2, "bf16", "full", 1024, 2, 1, _OPTIMIZER),
    ("125M", 2, "bf16", "none", 1024, 2, 8, _OPTIMIZER | {"gradient_accumulation_steps": 2}),
    ("125M", 3, "bf16", "none", 1024, 2, 8, _OPTIMIZER),
    ("350M", 3, "bf16", "selective", 2048, 1, 8, _BOTH),
    ("1B", 2, "bf16", "full", 2048, 1, 8, _OPTIMIZER),
    ("7B", 3, "bf16", "full", 2048, 1, 8, _OPTIMIZER),
    ("MoE 0.5B", 2, "bf16", "none", 1024, 2, 4, _OPTIMIZER),
    ("20M", 1, "bf16", "none", 512, 1, 1, _NARROW),
    ("125M", 1, "bf16", "none", 512, 1, 8, _NARROW | {"gradient_accumulation_steps": 2}),
    ("125M", 2, "bf16", "none", 512, 1, 2, _NARROW),
    ("350M", 2, "bf16", "full", 512, 1, 1, _NARROW | {"gradient_accumulation_steps": 2}),
    ("350M", 3, "bf16", "full", 512, 1, 8, _NARROW),
    ("1B", 1, "bf16", "full", 2048, 1, 8, _NARROW),
    ("7B", 3, "bf16", "full", 4096, 2, 8, _NARROW),
    ("125M", 2, "bf16", "none", 1024, 2, 8, _NARROW | _OPTIMIZER),
    ("125M", 3, "bf16", "none", 1024, 2, 8, _NARROW | _OPTIMIZER),
    ("MoE 0.5B", 2, "bf16", "none", 1024, 2, 8, _NARROW),
    ("20M", 1, "fp16", "none", 512, 4, 1),
    ("125M", 2, "fp16", "none", 1024, 4, 8),
    ("350M", 3, "fp16", "full", 2048, 4, 8),
    ("1B", 1, "fp16", "selective", 2048, 4, 8, {"gradient_accumulation_steps": 2}),
    ("Qwen2 0.5B", 1, "bf16", "none", 2048, 4, 8),
    ("Qwen2 0.5B", 3, "bf16", "none", 1024, 2, 4),
    ("Qwen2 7B", 3, "bf16", "full", 4096, 2, 8),
    ("Qwen3 20M", 0, "fp32", "none", 1024, 8, 2),
    ("Qwen3 20M", 1, "bf16", "selective", 2048, 16, 8),
    ("Qwen3 20M", 3, "bf16", "none", 1024, 2, 8),
    ("Qwen3 20M", 2, "bf16", "none", 1024, 2, 2, {"attention": "eager"}),
    ("Qwen3 20M", 2, "fp32", "selective", 1024, 8, 2),
    ("Qwen3 0.6B", 1, "bf16", "none", 2048, 4, 8),
    ("Qwen3 0.6B", 2, "bf16", "full", 8192, 4, 8, {"loss_chunks": 16}),
    ("Qwen3 0.6B", 3, "bf16", "selective", 4096, 4, 8),
    ("Qwen3 8B", 3, "bf16", "full", 4096, 2, 16),
    ("Qwen3 8B", 3, "bf16", "none", 2048, 2, 64),
    ("Qwen3 8B", 2, "bf16", "selective", 4096, 1, 16),
    ("Qwen3 MoE 0.5B", 1, "bf16", "none", 2048, 4, 8),
    ("Qwen3 MoE 0.5B", 1, "fp32", "full", 2048, 2, 8),
    ("Qwen3 MoE 0.5B", 2, "bf16", "full", 4096, 4, 8),
    ("Qwen3 MoE 0.5B", 3, "bf16", "none", 1024, 4, 8),
    ("Qwen3 MoE 0.5B", 3, "bf16", "selective", 1024, 8, 4),
    ("Qwen3 30B-A3B", 3, "bf16", "full", 4096, 2, 64),
    ("Qwen3 30B-A3B", 2, "bf16", "full", 4096, 1, 128),
    ("20M", 2, "fp32", "full", 1024, 1, 2, _MUON),
    ("125M", 1, "bf16", "full", 1024, 1, 2, _MUON),
    ("125M", 2, "bf16", "full", 1024, 4, 8, _MUON | {"gradient_accumulation_steps": 2}),
    ("350M", 1, "bf16", "full", 1024, 1, 64, _MUON | {"gradient_accumulation_steps": 2}),
]

_ROWS += [
    ("20M", 0, "fp32", "none", 1024, 8, 2, {"adapters": (8, ATTENTION + FEED_FORWARD)}),
    ("125M", 1, "bf16", "none", 1024, 4, 1, {"adapters": (16, ATTENTION + FEED_FORWARD)}),
    ("125M", 2, "bf16", "none", 1024, 2, 8, _ACCUMULATED | {"adapters": (8, ("q_proj", "v_proj"))}),
    ("350M", 2, "bf16", "selective", 2048, 4, 8, {"adapters": (64, ATTENTION + FEED_FORWARD)}),
    ("20M", 3, "bf16", "none", 1024, 2, 8, {"adapters": (16, ATTENTION + FEED_FORWARD)}),
    ("20M", 2, "bf16", "full", 1024, 2, 2, {"adapters": (16, ATTENTION + FEED_FORWARD)}),
    ("125M", 3, "bf16", "full", 1024, 2, 8, {"adapters": (64, ATTENTION)}),
    ("1B", 3, "bf16", "none", 2048, 2, 8, {"adapters": (16, ATTENTION)}),
    ("7B", 3, "bf16", "full", 4096, 2, 8, {"adapters": (64, ATTENTION + FEED_FORWARD)}),
    ("7B", 1, "bf16", "full", 4096, 1, 1, {"adapters": (16, ATTENTION + FEED_FORWARD)}),
    ("MoE 0.5B", 2, "bf16", "none", 2048, 2, 8, {"adapters": (16, ATTENTION)}),
    ("Qwen3 0.6B", 2, "bf16", "full", 8192, 4, 8, {"loss_chunks": 16, "adapters": (16, FEED_FORWARD)}),
]

_ROWS += [
    ("MoE 0.5B", 1, "bf16", "none", 2048, 4, 8, {"expert_parallel_degree": 4}),
    ("MoE 0.5B", 1, "bf16", "none", 512, 1, 8, {"expert_parallel_degree": 4}),
    ("MoE 0.5B", 1, "fp32", "full", 1024, 2, 8, _ACCUMULATED | {"expert_parallel_degree": 2}),
    ("MoE 0.5B", 2, "bf16", "full", 2048, 4, 8, {"expert_parallel_degree": 8}),
    ("MoE 0.5B", 2, "bf16", "selective", 2048, 4, 8, _ACCUMULATED | {"expert_parallel_degree": 4}),
    ("MoE 0.5B", 3, "bf16", "none", 1024, 4, 8, {"expert_parallel_degree": 4}),
    ("MoE 0.5B", 3, "bf16", "full", 1024, 4, 8, {"expert_parallel_degree": 8}),
    ("MoE 1.5B", 2, "bf16", "none", 2048, 2, 16, {"expert_parallel_degree": 8}),
    ("8x7B", 1, "bf16", "full", 4096, 1, 64, {"expert_parallel_degree": 8}),
    ("Qwen3 MoE 0.5B", 1, "bf16", "none", 2048, 4, 8, {"expert_parallel_degree": 8}),
    ("Qwen3 MoE 0.5B", 3, "bf16", "selective", 1024, 8, 4, {"expert_parallel_degree": 2}),
    ("Qwen3 30B-A3B", 2, "bf16", "full", 4096, 1, 128, {"expert_parallel_degree": 8}),
]

CONFIGURATIONS = [configuration(*row[:7], **(row[7] if len(row) > 7 else {})) for row in _ROWS]

QUICK = [CONFIGURATIONS[index] for index in (1, 5, 9, 15, 19)]
