"""What users would estimate with instead, on the same rows: the usual rule, and llm-analysis where it is installed.

DeepSpeed's estimators (`estimate_zero2_model_states_mem_needs` and so on) say nothing about time. Calculon is not on
PyPI: the package of that name there is an unrelated one. llm-analysis pins transformers below 5, which forge's
environment has, so it is installed beside it: `pip install --no-deps --target FOLDER llm-analysis fire termcolor`,
then `PYTHONPATH=FOLDER`.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Callable

from benchmarks.rows import Row
from forge.plan.model import matmul_flops_per_token

ASSUMED_MFU = 0.40
"""What is usually assumed where nothing is measured."""

LLM_ANALYSIS_EFFICIENCY = 0.5
"""The value its own constants name for training; its default of 1 would flatter nobody."""

NOT_RUN = (
    "DeepSpeed's estimators: memory only, no estimate of time",
    "calculon: not on PyPI (the package of that name is an unrelated one)",
)


def six_n(row: Row) -> float:
    """Return tokens/s a GPU by 6 N FLOPs a token at an assumed MFU of the datasheet peak."""
    return ASSUMED_MFU * row.hardware.peak_flops / matmul_flops_per_token(row.model)


def llm_analysis(row: Row) -> float:
    """Return tokens/s a GPU by llm-analysis: ImportError where it is not installed, ValueError where it refuses."""
    their_analysis = importlib.import_module("llm_analysis.analysis")
    their_config = importlib.import_module("llm_analysis.config")

    model, hardware = row.model, row.hardware
    logging.disable(logging.CRITICAL)
    try:
        analysis = their_analysis.LLMAnalysis(
            their_config.ModelConfig(
                name="row",
                num_layers=model.layers,
                n_head=model.attention_heads,
                hidden_dim=model.hidden_size,
                vocab_size=model.vocab_size,
                max_seq_len=row.sequence_length,
                num_key_value_heads=model.kv_heads,
                # Its feed-forward has two matrices, a whole multiple of the hidden size wide.
                expansion_ratio=1.5 * model.intermediate_size / model.hidden_size,
                moe_num_experts=max(model.experts, 1),
                moe_top_k=max(model.experts_per_token, 1),
            ),
            their_config.GPUConfig(
                name="row",
                mem_per_GPU_in_GB=1e6,
                hbm_bandwidth_in_GB_per_sec=hardware.memory_bytes_per_s / 1e9,
                intra_node_bandwidth_in_GB_per_sec=hardware.gpu_link_bytes_per_s / 1e9,
                intra_node_min_message_latency=8e-6,
                peak_fp16_TFLOPS=hardware.peak_flops / 1e12,
                inter_node_bandwidth_in_GB_per_sec=hardware.node_link_bytes_per_s / 1e9,
            ),
            their_config.DtypeConfig(),
            their_config.ParallelismConfig(
                dp_size=hardware.world_size // row.layout.sequence_parallel_degree
            ),
            flops_efficiency=LLM_ANALYSIS_EFFICIENCY,
        )
        summary = analysis.training(
            batch_size_per_gpu=row.layout.micro_batch_sequences,
            gradient_accumulation_steps=row.layout.gradient_accumulation_steps,
            seq_len=row.sequence_length,
            activation_recomputation=getattr(
                their_analysis.ActivationRecomputation, row.layout.activation_checkpointing.upper()
            ),
            ds_zero=their_analysis.DSZeRO(row.layout.zero_stage),
        )
    except (AssertionError, TypeError, ZeroDivisionError) as error:
        raise ValueError(f"llm-analysis: {error}") from error
    finally:
        logging.disable(logging.NOTSET)
    return row.step_tokens_per_gpu / float(summary["latency_per_iter"])


def available_peers() -> tuple[dict[str, Callable[[Row], float]], list[str]]:
    """Return the peers that can be run here by name, and a line for each that can't."""
    peers: dict[str, Callable[[Row], float]] = {f"6 N at {ASSUMED_MFU:.0%} MFU": six_n}
    missing = list(NOT_RUN)
    if importlib.util.find_spec("llm_analysis") and importlib.util.find_spec("fire"):
        peers[f"llm-analysis at {LLM_ANALYSIS_EFFICIENCY:.0%}"] = llm_analysis
    else:
        missing.append("llm-analysis: not installed (benchmarks/peers.py says how)")
    return peers, missing
