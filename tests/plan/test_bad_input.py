from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forge.errors import FitError, SpecError
from forge.plan.compile import compile_plan
from forge.plan.hardware import named_machine
from forge.plan.types import plan_to_dict
from forge.spec.rules import apply_rules
from forge.spec.schema import spec_schema, validator
from forge.spec.types import Origin, Origins
from tests.plan.specs import LAPTOP, compiled, composed

GPUS = ("hardware=8xh100",)
BAD: list[tuple[tuple[str, ...], str]] = [
    # model
    (("model.layers=0",), "model.layers"),
    (("model.layers=-3",), "model.layers"),
    (("model.layers=2.5",), "model.layers"),
    (("model.layers=1e9",), "model.layers"),
    (("model.layers=null",), "model.layers"),
    (("model.hidden_size=0",), "model.hidden_size"),
    (("model.hidden_size=385",), "hidden_size 385 is not divisible"),
    (("model.hidden_size=nan",), "model.hidden_size"),
    (("model.hidden_size=1e30",), "model.hidden_size"),
    (("model.attention_heads=0",), "model.attention_heads"),
    (("model.attention_heads=7", "model.kv_heads=1"), "attention_heads 7"),
    (("model.kv_heads=4",), "4 does not divide attention_heads 6"),
    (("model.head_dim=3",), "cannot be rotated in pairs"),
    (("model.intermediate_size=-1",), "model.intermediate_size"),
    (("model.rope_theta=0",), "model.rope_theta"),
    (("model.rope_theta=inf",), "not a finite number"),
    (("model.rms_norm_epsilon=-1e-5",), "model.rms_norm_epsilon"),
    (("model.initializer_std=0",), "model.initializer_std"),
    (("model.experts=4",), "model.experts"),
    (("model=mixtral_8x1b", "model.experts_per_token=9"), "experts_per_token 9 is more than experts 8"),
    (
        ("model=qwen3_moe_7m", "model.experts=0"),
        "least allowed, 2 where model.family is mixtral or qwen3_moe",
    ),
    (("model.norm_topk_prob=false",), "false must be true where model.family is not qwen3_moe"),
    (("model=qwen2_3m", "model.head_dim=32"), "32 must be null where model.family is qwen2"),
    # train
    (("train.tokens=0",), "train.tokens"),
    (("train.tokens=-5",), "train.tokens"),
    (("train.tokens=1000",), "less than one global batch"),
    (("train.tokens=null",), "there is no budget"),
    (("train.steps=0",), "train.steps"),
    (("train.steps=5", "train.tokens=100000000"), "train.tokens and as train.steps"),
    (("train.hours=0",), "train.hours"),
    (("train.hours=-1",), "train.hours"),
    (("train.hours=nan",), "train.hours"),
    (("train.hours=1e-9",), "does not pay for one step"),
    (("train.budget_usd=1e-6", *GPUS), "does not pay for one step"),
    (("train.budget_usd=100", "hardware=8xb200"), "has no price"),
    (("train.budget_usd=100", "train.hours=3"), "train.hours and as train.budget_usd"),
    (("train.epochs=1",), "the length of a pass is not known"),
    (("train.global_batch_tokens=0",), "train.global_batch_tokens"),
    (("train.global_batch_tokens=1000",), "is not a multiple of sequence_length 1024"),
    (("train.global_batch_tokens=1e40",), "train.global_batch_tokens"),
    (("train.sequence_length=0",), "train.sequence_length"),
    (("train.sequence_length=1e12",), "train.sequence_length"),
    (("train.learning_rate=0",), "train.learning_rate"),
    (("train.learning_rate=-1",), "train.learning_rate"),
    (("train.learning_rate=inf",), "not a finite number"),
    (("train.adam_beta1=1",), "train.adam_beta1"),
    (("train.gradient_clip=0",), "train.gradient_clip"),
    (("train.warmup_fraction=2",), "train.warmup_fraction"),
    (("train.objective=speed",), "train.objective"),
    (("train.precision=fp16",), "train.precision"),
    (("train.checkpoint_every_steps=0",), "train.checkpoint_every_steps"),
    # engine
    (("engine.zero_stage=4",), "engine.zero_stage"),
    (("engine.zero_stage=-1",), "engine.zero_stage"),
    (("engine.micro_batch_sequences=0",), "engine.micro_batch_sequences"),
    (("engine.micro_batch_sequences=-2",), "engine.micro_batch_sequences"),
    (("engine.micro_batch_sequences=many",), "engine.micro_batch_sequences"),
    (("engine.micro_batch_sequences=1000", *GPUS), "does not divide the 8 sequences"),
    (("engine.gradient_accumulation_steps=5", *GPUS), "does not divide the 8 sequences"),
    (("engine.memory_headroom_fraction=1",), "engine.memory_headroom_fraction"),
    (("engine.memory_headroom_fraction=nan",), "not a finite number"),
    (("engine.bucket_bytes=0",), "engine.bucket_bytes"),
    (("engine.loss_chunks=0",), "engine.loss_chunks"),
    (("engine.compile_layers=1",), "engine.compile_layers"),
    (("engine.compile_layers=true", "engine.zero_stage=3", *GPUS), "ZeRO stage 3 gathers weights"),
    (("engine.compile_layers=true", "engine.attention=eager"), "engine.attention=eager are not compiled"),
    (
        ("engine.compile_layers=true", "engine.sequence_parallel_degree=2", *GPUS),
        "shared sequences are not compiled",
    ),
    (("engine.compile_layers=true", "train=muon"), "with muon nothing is compiled"),
    (("engine.compile_layers=true", "engine.activation_checkpointing=selective"), "is not checkpointed"),
    (("engine.compile_layers=true", "model=mixtral_8x1b", *GPUS), "layers with experts are not compiled"),
    (("engine.hpz_partition_size=5", *GPUS), "5 does not divide the 8 devices"),
    (("engine.sequence_parallel_degree=5", *GPUS), "5 does not divide the 8 devices"),
    (("engine.sequence_parallel_degree=64", "hardware=64xh100"), "attention heads"),
    (
        ("model=qwen3_8b", "engine.sequence_parallel_degree=16", "hardware=64xh100"),
        "16 does not divide the 8 heads of keys and values",
    ),
    (
        ("model=mixtral_8x1b", "engine.sequence_parallel_degree=2", "hardware=64xh100"),
        "the experts of a mixture are balanced over whole sequences",
    ),
    (("engine.offload_parameters=cpu", "engine.zero_stage=1", *GPUS), "ZeRO stage 3 alone"),
    (("engine.offload_optimizer=nvme", "engine.zero_stage=1", *GPUS), "NVMe at ZeRO stage 3 alone"),
    (("engine.deepspeed.zero_optimization.sub_group_size=-1",), "sub_group_size"),
    # hardware
    (("hardware=9xh100",), "not a whole number of machines"),
    (("hardware=-1xh100",), "there is no hardware"),
    (
        ("hardware=999992xh100",),
        "124999 machines are more than a plan may have, 16384: use at most 131072xh100",
    ),
    ((*GPUS, "hardware.nodes=0"), "hardware.nodes"),
    ((*GPUS, "hardware.gpus_per_node=0"), "hardware.gpus_per_node"),
    ((*GPUS, "hardware.gpus_per_node=3"), "3 devices can share equally"),
    ((*GPUS, "hardware.gpu_memory_gib=0"), "hardware.gpu_memory_gib"),
    ((*GPUS, "hardware.gpu_memory_gib=null"), "hardware.gpu_memory_gib"),
    ((*GPUS, "hardware.gpu_memory_gib=inf"), "not a finite number"),
    ((*GPUS, "hardware.measured_matmul_tflops=-1"), "hardware.measured_matmul_tflops"),
    ((*GPUS, "hardware.hbm_tb_per_s=nan"), "not a finite number"),
    ((*GPUS, "hardware.gpu_link_gb_per_s=0"), "hardware.gpu_link_gb_per_s"),
    ((*GPUS, "hardware.usd_per_gpu_hour=-2"), "hardware.usd_per_gpu_hour"),
    ((*GPUS, "hardware.gpu_hours_between_failures=0"), "hardware.gpu_hours_between_failures"),
    (("hardware=cpu", "hardware.cpu_processes=0"), "hardware.cpu_processes"),
    (("hardware=cpu", "hardware.nodes=2"), "hardware.nodes"),
]


@pytest.mark.parametrize(("overrides", "said"), BAD, ids=[" ".join(overrides) for overrides, _ in BAD])
def test_bad_input_is_one_line_that_names_it(overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises((SpecError, FitError)) as caught:
        compiled(*overrides)
    assert len(caught.value.lines) == 1
    assert said in caught.value.lines[0]


@pytest.mark.parametrize(
    "overrides",
    [
        ("hardware=cpu", "hardware.host_memory_gib=0.01"),
        ("hardware=1xa10g", "model=mixtral_8x1b", "engine.offload_optimizer=none"),
        (*GPUS, "hardware.gpu_memory_gib=0.001"),
        (*GPUS, "model=llama_7b", "train.sequence_length=1048576", "train.global_batch_tokens=8388608"),
        (
            *GPUS,
            "model.layers=1000",
            "model.hidden_size=131072",
            "model.attention_heads=1024",
            "model.kv_heads=1024",
        ),
    ],
)
def test_what_is_valid_and_does_not_fit_ends_with_status_3(overrides: tuple[str, ...]) -> None:
    with pytest.raises(FitError) as caught:
        compiled(*overrides)
    first, *rest = caught.value.lines
    assert "does not fit" in first
    assert all(": fits " in line for line in rest)
    assert not any("\n" in line for line in caught.value.lines)


def _number(node: dict[str, Any], whole: bool) -> st.SearchStrategy[Any]:
    low = node.get("minimum", node.get("exclusiveMinimum", 0))
    high = node.get("maximum", node.get("exclusiveMaximum", 10**15))
    if whole:
        small = st.integers(int(low), int(min(high, max(low + 64, 64))))
        return small | st.sampled_from([int(low), int(high)]) | st.integers(int(low), int(high))
    return st.floats(low, high, allow_nan=False)


def _value(node: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Draw what the schema of a key allows, its bounds included."""
    if "enum" in node:
        return st.sampled_from(node["enum"])
    kinds = [node["type"]] if isinstance(node["type"], str) else node["type"]
    draws: list[st.SearchStrategy[Any]] = []
    for kind in kinds:
        if kind in ("integer", "number"):
            draws.append(_number(node, kind == "integer"))
        elif kind == "boolean":
            draws.append(st.booleans())
        elif kind == "null":
            draws.append(st.none())
        elif node.get("pattern") == "^auto$":
            draws.append(st.just("auto"))
    return st.one_of(draws) if draws else st.nothing()


FIELDS = {
    (path[0], path[1]): node
    for path, node in spec_schema().leaves.items()
    if path[0] in ("model", "train", "engine", "hardware")
    and len(path) == 2
    and path[1] not in ("kind", "gpu", "driver_name", "price_source")
}


@st.composite
def _specs(draw: st.DrawFn) -> tuple[dict[str, Any], str, Origins]:
    """A spec with some fields of some groups drawn anew, as if set on the command line."""
    origins: Origins = {path: (Origin("conf", "conf", None, 0),) for path in spec_schema().leaves}
    model = draw(st.sampled_from(["llama_3m", "llama_1b", "llama_7b", "mixtral_8x1b"]))
    values, _ = composed(f"model={model}")
    name = draw(st.sampled_from(["cpu", "1xh100", "8xa100", "64xh100", "8xv100", "2x4xrtx4090"]))
    values["hardware"] = copy.deepcopy(named_machine(name) or composed(f"hardware={name}")[0]["hardware"])
    for group, key in draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=5, unique=True)):
        # A thousand layers are a case above; here they would take the time of all other examples together.
        drawn = st.integers(1, 100) if key == "layers" else _value(FIELDS[group, key])
        values[group][key] = draw(drawn)
        origins[group, key] = (Origin("command line", "command line", values[group][key], 1),)
    return values, name, origins


@settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
@given(_specs())
def test_a_spec_that_validates_compiles_or_is_refused_with_a_reason(
    drawn: tuple[dict[str, Any], str, Origins],
) -> None:
    values, name, origins = drawn
    if any(validator("spec").iter_errors(values)):
        return
    values, _, problems = apply_rules(values, origins, (), spec_schema())
    if problems:
        return
    refused: tuple[str, ...] = ()
    try:
        plan = compile_plan(values, name, LAPTOP, ())
    except (SpecError, FitError) as error:
        refused = error.lines
    if refused:
        assert all(line and "\n" not in line for line in refused)
    else:
        assert not list(validator("plan").iter_errors(plan_to_dict(plan)))
