"""Rows of published measurements become models, layouts and hardware, or say why not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.cells import UnusableRowError
from benchmarks.rows import Row, parse_row, read_rows
from forge.plan.efficiency import EAGER_GPT, EAGER_TRANSFORMERS, EVERY_OTHER_LAYER, FUSED
from tests.benchmarks.published import COLUMNS, cells, write_rows


def parse(**changes: str) -> Row:
    return parse_row(2, cells(**changes))


def test_an_ordinary_row() -> None:
    row = parse()
    assert row.model.parameters == pytest.approx(6738415616, rel=0.001)
    assert row.layout.zero_stage == 3
    assert row.layout.micro_batch_sequences == 2
    assert row.layout.gradient_accumulation_steps == 2
    assert row.layout.activation_checkpointing == "selective"
    assert (row.hardware.nodes, row.hardware.devices_per_node) == (8, 8)
    assert row.framework.key == "fsdp_compiled"
    assert row.step_tokens_per_gpu == 4 * 4096
    assert row.tokens_per_s_per_gpu == 9600


@pytest.mark.parametrize(
    ("sharding", "stage", "shard_ranks"),
    [
        ("fsdp-full (zero3)", 3, None),
        ("fsdp-shard-grad-op (zero2)", 2, None),
        ("fsdp (zero2-like: reshard_after_forward=never)", 2, None),
        ("zero1 (group of 8)", 1, 8),
        ("zero1+tp1pp1dp8", 1, None),
        ("hsdp", 3, 8),
        ("ddp", 0, None),
        ("zero0", 0, None),
        ("FULL_SHARD", 3, None),
        ("SHARD_GRAD_OP", 2, None),
        ("NO_SHARD", 0, None),
        ("dp8", 0, None),
        ("ZeRO-1", 1, None),
        ("distributed optimizer", 1, None),
        ("HYBRID_SHARD", 3, 8),
        ("zero3+opt offload", 3, None),
    ],
)
def test_sharding_names(sharding: str, stage: int, shard_ranks: int | None) -> None:
    row = parse(sharding=sharding)
    assert row.layout.zero_stage == stage
    assert row.shard_ranks == shard_ranks


@pytest.mark.parametrize(
    ("sharding", "optimizer", "parameters"),
    [
        ("zero3", "none", "none"),
        ("zero3+opt offload", "cpu", "none"),
        ("zero3+opt+param cpu offload", "cpu", "cpu"),
        ("zero3 nvme offload", "nvme", "none"),
    ],
)
def test_offload(sharding: str, optimizer: str, parameters: str) -> None:
    layout = parse(sharding=sharding).layout
    assert (layout.offload_optimizer, layout.offload_parameters) == (optimizer, parameters)


@pytest.mark.parametrize(
    ("framework", "sharding", "compiled", "key"),
    [
        ("deepspeed", "zero3", "no", "deepspeed"),
        ("HF trainer + deepspeed", "zero3", "no", "deepspeed"),
        ("deepspeed deepcompile", "zero3", "yes (P+S)", "deepcompile"),
        ("deepspeed", "zero3 deepcompile", "yes", "deepcompile"),
        ("megatron-deepspeed", "zero1", "no", "megatron"),
        ("NeMo / Megatron-Bridge", "zero1", "", "megatron"),
        ("pytorch fsdp", "fsdp-full-32", "no", "transformers_fsdp"),
        ("axolotl", "fsdp-full", "", "transformers_fsdp"),
        ("ms-swift", "zero2", "", "deepspeed"),
        ("torchtitan", "fsdp-full-8", "no", "fsdp"),
        ("fms-fsdp (pytorch FSDP)", "hsdp", "yes", "fsdp_compiled"),
        ("llm-foundry/composer (pytorch FSDP)", "fsdp-full (zero3)", "no", "fsdp"),
        ("something new", "fsdp", "yes", "fsdp_compiled"),
        ("", "fsdp", "", "fsdp"),
    ],
)
def test_framework_names(framework: str, sharding: str, compiled: str, key: str) -> None:
    assert parse(framework=framework, sharding=sharding, compile=compiled).framework.key == key


def test_what_is_known_of_frameworks_by_name() -> None:
    assert parse(framework="internevo").framework.whole_tensor_shards
    assert not parse(framework="nanotron").framework.refresh_overlaps
    assert parse(framework="torchtitan").framework.recompute_stops_early
    assert not parse(framework="accelerate", sharding="fsdp").framework.recompute_stops_early
    assert parse(framework="fms-fsdp").framework.selective == EVERY_OTHER_LAYER
    assert parse(framework="megatron-lm", sharding="dp8").layout.zero_stage == 1


def test_gpt_under_transformers_has_kernels_of_its_own() -> None:
    gpt = {"params_total": "1315815424", "layers": "24", "hidden": "2048", "heads": "16", "kv_heads": "16"}
    gpt |= {"ffn": "8192", "vocab": "50304", "tied": "True"}
    assert parse(framework="HF trainer + deepspeed", sharding="zero3", **gpt).framework.kernels == EAGER_GPT
    assert parse(framework="deepspeed", sharding="zero3").framework.kernels == EAGER_TRANSFORMERS
    assert parse(framework="megatron-deepspeed", sharding="zero1", **gpt).framework.kernels == FUSED


def test_attention_kernels() -> None:
    assert parse(framework="llm-foundry/composer").framework.attention == "flash1"
    assert parse(framework="torchtitan").framework.attention == "flash2"
    assert parse(framework="NeMo").framework.attention == "flash3"
    assert parse(attention="fa3").framework.attention == "flash3"
    assert parse(attention="math").layout.attention == "eager"


def test_an_ungated_feed_forward_is_one_of_equal_parameters() -> None:
    """GPT-2 1.3B: 24 layers of 2048, two matrices of 8192."""
    row = parse(
        model="gpt", params_total="1315815424", layers="24", hidden="2048", heads="16", kv_heads="16",
        ffn="8192", vocab="50304", tied="True",
    )  # fmt: skip
    assert row.model.parameters == pytest.approx(1315815424, rel=0.01)
    unknown = parse(
        params_total="", layers="24", hidden="2048", heads="16", kv_heads="16", ffn="8192", tied="True"
    )
    assert unknown.model.intermediate_size == row.model.intermediate_size


def test_a_missing_feed_forward_is_derived_from_the_parameters() -> None:
    row = parse(ffn="", params_total="6738415616")
    assert row.model.intermediate_size == pytest.approx(11008, abs=2)


def test_a_mixture_of_experts_counts_all_and_active_parameters() -> None:
    row = parse(
        params_total="46702792704", hidden="4096", kv_heads="8", ffn="14336", moe_experts="8", moe_topk="2"
    )
    assert row.model.parameters == pytest.approx(46.7e9, rel=0.01)
    assert row.model.active_parameters == pytest.approx(12.9e9, rel=0.01)


@pytest.mark.parametrize(
    ("column", "mode"),
    [("", "none"), ("no", "none"), ("selective (op)", "selective"), ("full", "full"), ("yes", "full")],
)
def test_checkpointing_names(column: str, mode: str) -> None:
    assert parse(act_ckpt=column).layout.activation_checkpointing == mode


def test_numbers_with_a_remark() -> None:
    assert parse(seq_len="4,096 (packed)").sequence_length == 4096


def test_nodes_that_are_not_full() -> None:
    hardware = parse(n_gpus="12", global_batch_seqs="24", grad_accum="1").hardware
    assert (hardware.nodes, hardware.devices_per_node) == (3, 4)


def test_heads_wider_than_hidden_over_heads() -> None:
    assert parse(model="qwen3-32b", hidden="5120", heads="64", kv_heads="8").model.head_dim == 128


def test_batches_from_the_global_batch() -> None:
    assert parse(grad_accum="").layout.gradient_accumulation_steps == 2
    assert parse(micro_batch_per_gpu="").layout.micro_batch_sequences == 2
    assert parse(grad_accum="", global_batch_seqs="").layout.gradient_accumulation_steps == 1


@pytest.mark.parametrize(
    ("sharding", "notes", "degree"),
    [
        ("fsdp-full-8 (dp4 x cp2)", "", 2),
        ("zero3 sp=4", "", 4),
        ("fsdp", "context parallel 8; bf16", 8),
        ("fsdp-full-8", "", 1),
    ],
)
def test_devices_that_share_a_sequence(sharding: str, notes: str, degree: int) -> None:
    row = parse(sharding=sharding, notes=notes)
    assert row.layout.sequence_parallel_degree == degree
    assert row.step_tokens_per_gpu == pytest.approx(4 * 4096 / degree)


@pytest.mark.parametrize(
    ("hardware", "ceiling_tflops", "memory_gib"),
    [
        ("a100-40gb", 271.2, 39.4),
        ("a100-sxm-40gb", 271.2, 39.4),
        ("A100-80GB", 271.2, 79.2),
        ("h100-96gb", 649, 95),
        ("H100 SXM", 794.5, 79.6),
        ("gh200", 828.6, 95),
        ("gb200", 1822, 184),
        ("mi300x", 668.4, 191),
        ("v100-16gb", 95, 15.8),
        ("v100-32gb", 95, 31.7),
    ],
)
def test_chips(hardware: str, ceiling_tflops: float, memory_gib: float) -> None:
    found = parse(hardware=hardware).hardware
    assert found.matmul_flops["bf16"] == pytest.approx(ceiling_tflops * 1e12)
    assert found.device_memory_bytes == pytest.approx(memory_gib * 1024**3)


def test_networks_as_their_sources_describe_them() -> None:
    assert parse(source="fms-fsdp").hardware.node_link_bytes_per_s == 100e9
    assert parse(source="internevo", hardware="a100-80gb").hardware.node_link_bytes_per_s == 50e9
    assert parse().hardware.node_link_bytes_per_s == 400e9


def test_racks_joined_by_nvlink_are_one_node() -> None:
    assert parse(hardware="gb200", gpus_per_node="4", n_gpus="64").hardware.nodes == 1
    assert parse(hardware="v100-32gb", gpus_per_node="4", n_gpus="64").hardware.nodes == 16


def test_fp8_and_whether_the_compiler_fuses_its_casts() -> None:
    assert parse(precision="fp8").fp8
    assert not parse(precision="fp8").eager_casts
    assert parse(precision="fp8", compile="no").eager_casts
    assert not parse(precision="fp8", framework="llm-foundry", compile="no").eager_casts
    assert not parse(precision="bf16").fp8


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"layers": ""}, "layers blank"),
        ({"layers": "many"}, "layers is not a number"),
        ({"layers": "nan"}, "layers is not a number"),
        ({"layers": "-3"}, "layers is not a number"),
        ({"layers": "1e9"}, "layers 1e9: above"),
        ({"micro_batch_per_gpu": "1e12"}, "micro_batch_per_gpu 1e12: above"),
        ({"hidden": ""}, "hidden blank"),
        ({"seq_len": ""}, "seq_len blank"),
        ({"n_gpus": ""}, "n_gpus blank"),
        ({"hardware": ""}, "hardware blank"),
        ({"hardware": "tpu-v5p"}, "no such chip"),
        ({"tp": "8"}, "tensor parallel over 8"),
        ({"pp": "2"}, "pipeline parallel over 2"),
        ({"sharding": "zero1+tp4pp2"}, "tensor parallel over 4"),
        ({"sharding": "3d"}, "3D parallel"),
        ({"sharding": "zero1 ep8", "moe_experts": "8", "moe_topk": "2"}, "expert parallel"),
        ({"moe_experts": "8"}, "moe_topk blank"),
        ({"notes": "LoRA rank 16"}, "LoRA"),
        ({"framework": "axolotl qlora"}, "LoRA"),
        ({"notes": "arch ambiguous, do not score"}, "not to be scored"),
        ({"precision": "nvfp4"}, "precision nvfp4"),
        ({"micro_batch_per_gpu": "", "global_batch_seqs": ""}, "micro_batch_per_gpu blank"),
        ({"micro_batch_per_gpu": "", "global_batch_seqs": "8"}, "contradict"),
        ({"ffn": "", "params_total": ""}, "ffn blank"),
        ({"ffn": "", "params_total": "1000"}, "too small"),
        ({"n_gpus": "13"}, "do not divide over nodes"),
        ({"sharding": "fsdp cp3"}, "do not divide"),
    ],
)
def test_unusable_rows_say_why(changes: dict[str, str], reason: str) -> None:
    with pytest.raises(UnusableRowError, match=reason):
        parse(**changes)


def test_every_line_of_a_file_is_counted(tmp_path: Path) -> None:
    path = write_rows(
        tmp_path / "odd.csv",
        cells(),
        cells(tp="8"),
        cells(source="", layers="?"),
        cells(n_gpus="1e400"),
        cells(compile="", attention="", act_ckpt="", precision="", framework="", sharding=""),
        dict.fromkeys(COLUMNS, ""),
    )
    rows, unusable = read_rows(path)
    assert [row.line for row in rows] == [2, 6]
    assert [(row.line, row.source) for row in unusable] == [
        (3, "lab"),
        (4, "(no source)"),
        (5, "lab"),
        (7, "(no source)"),
    ]


def test_short_and_long_lines_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "ragged.csv"
    path.write_text("\ufeff" + ",".join(COLUMNS) + "\nlab,x\nlab" + ",9" * 60 + "\n\n", encoding="utf-8")
    rows, unusable = read_rows(path)
    assert len(rows) + len(unusable) == 2


odd_cells = st.sampled_from(
    ["", "0", "-1", "1", "8", "3.5", "1e9", "nan", "inf", "yes", "zero3", "x, y", "½"]
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(COLUMNS), odd_cells, max_size=8))
def test_any_row_is_used_or_refused_with_a_reason(changes: dict[str, str]) -> None:
    reason = "used"
    try:
        row = parse_row(2, cells(**changes))
        assert row.hardware.world_size >= 1
        assert row.step_tokens_per_gpu > 0
    except UnusableRowError as refused:
        reason = str(refused)
    assert reason
