from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest

from forge.errors import SpecError
from forge.plan.hardware import Hardware, named_machine, resolve_hardware
from forge.plan.layout import Layout
from forge.plan.lowering import deepspeed_config
from forge.plan.space import layout_space
from forge.resources import data_dir
from forge.spec.schema import spec_schema
from forge.spec.search_path import default_search_path
from tests.factories import tiny_plan
from tests.plan.specs import LAPTOP, compiled, composed

MODEL = tiny_plan().model
RECIPES = sorted(file.stem for file in data_dir("recipes").glob("*.yaml"))


class _Recording(dict[str, Any]):
    """A config that remembers which of its keys were looked at."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.read: set[str] = set()

    def __copy__(self) -> _Recording:
        return self

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        if super().__contains__(key):
            self.read.add(str(key))
        return super().__contains__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.read.update({key} & self.keys())
        return super().get(key, default)


def _read_by_deepspeed(config: dict[str, Any], world_size: int) -> set[str]:
    """Return the top-level keys that DeepSpeed's own config class reads; it raises for what it does not take."""
    from deepspeed.runtime import config as deepspeed

    place = mock.Mock()
    place.get_data_parallel_world_size.return_value = world_size
    recording = _Recording(copy.deepcopy(config))
    with mock.patch.object(deepspeed.dist, "get_rank", return_value=0):
        parsed = deepspeed.DeepSpeedConfig(recording, mpu=place)
    assert parsed.train_batch_size == config["train_batch_size"]
    assert parsed.zero_config.stage == config["zero_optimization"]["stage"]
    return recording.read


def _layouts(recipe: str) -> Iterator[tuple[Layout, Hardware, dict[str, Any]]]:
    """Every kind of layout of a recipe on every hardware shipped, whether it fits or not."""
    values, _ = composed(f"+recipe={recipe}")
    for name in default_search_path().options("hardware"):
        machine = named_machine(name)
        spec = machine if machine is not None else composed(f"hardware={name}")[0]["hardware"]
        hardware = resolve_hardware(spec, name, LAPTOP)
        for stage in (0, 1, 2, 3):
            train = values["train"] | ({"precision": "fp32"} if stage == 0 else {})
            space = layout_space(hardware, values["engine"] | {"zero_stage": stage}, train)
            seen = set()
            for shape in space.shapes:
                kind = (shape.offload_optimizer, shape.offload_parameters, shape.hpz_partition_size)
                if kind not in seen:
                    seen.add(kind)
                    layout = shape.layout(*space.micro_batches[0])
                    yield layout, hardware, values
                    if layout.precision == "bf16":
                        yield replace(layout, optimizer_states="bf16"), hardware, values
                        yield replace(layout, precision="fp16"), hardware, values
                        yield replace(layout, precision="fp8"), hardware, values


@pytest.mark.parametrize("recipe", RECIPES)
def test_deepspeed_takes_every_config_and_ignores_no_key(recipe: str) -> None:
    count = 0
    for layout, hardware, values in _layouts(recipe):
        config = deepspeed_config(layout, hardware, values["train"]["gradient_clip"], MODEL)
        assert set(config) <= _read_by_deepspeed(config, hardware.world_size)
        count += 1
    assert count > 100


def _given() -> Iterator[tuple[str, ...]]:
    """Every key of the closed list."""

    def leaves(node: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for name, child in node["properties"].items():
            yield from leaves(child, (*path, name)) if "properties" in child else iter([(*path, name)])

    node = spec_schema().node(("engine", "deepspeed"))
    assert node is not None
    return leaves(node, ())


@pytest.mark.parametrize("key", list(_given()), ids=".".join)
def test_deepspeed_reads_every_key_of_the_closed_list(key: tuple[str, ...]) -> None:
    node = spec_schema().node(("engine", "deepspeed", *key))
    assert node is not None
    given: Any = node["default"]
    for part in reversed(key):
        given = {part: given}
    stage = 2 if key[-1] == "round_robin_gradients" else 3
    values, name = composed("hardware=8xh100")
    hardware = resolve_hardware(values["hardware"], name, LAPTOP)
    layout = Layout(stage, 1, 1, "none", "none", "bf16", 1_000_000)  # type: ignore[arg-type]
    config = deepspeed_config(layout, hardware, 1.0, MODEL, given)
    assert set(config) <= _read_by_deepspeed(config, hardware.world_size)
    place: Any = config
    for part in key:
        place = place[part]
    assert place == node["default"]


@pytest.mark.parametrize("stage", [1, 2])
def test_gradients_are_divided_and_reduced_where_they_lie(stage: Any) -> None:
    values, name = composed("hardware=8xh100")
    hardware = resolve_hardware(values["hardware"], name, LAPTOP)
    config = deepspeed_config(Layout(stage, 1, 1, "none", "none", "bf16", 1_000_000), hardware, 1.0, MODEL)
    assert config["zero_optimization"]["reduce_scatter"] is False
    assert config["prescale_gradients"] is True


def test_a_key_given_wins_over_what_forge_would_write() -> None:
    plan = compiled(
        "+recipe=legal_1b",
        "hardware=8xh100",
        "engine.deepspeed.zero_optimization.overlap_comm=false",
        "engine.deepspeed.wall_clock_breakdown=true",
    )
    assert plan.deepspeed["zero_optimization"]["overlap_comm"] is False
    assert plan.deepspeed["zero_optimization"]["stage"] == plan.layout.zero_stage
    assert plan.deepspeed["wall_clock_breakdown"] is True


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ("engine.deepspeed.zero_optimization.stage=2",),
            "command line: engine.deepspeed.zero_optimization.stage: no such key. did you mean engine.zero_stage?",
        ),
        (
            ("engine.deepspeed.train_micro_batch_size_per_gpu=2",),
            "command line: engine.deepspeed.train_micro_batch_size_per_gpu: no such key. "
            "did you mean engine.micro_batch_sequences?",
        ),
        (
            ("engine.deepspeed.gradient_accumulation_steps=2",),
            "command line: engine.deepspeed.gradient_accumulation_steps: no such key. "
            "did you mean engine.gradient_accumulation_steps?",
        ),
        (
            ("engine.deepspeed.zero_optimization.overlap_com=true",),
            "command line: engine.deepspeed.zero_optimization.overlap_com: no such key. "
            "did you mean engine.deepspeed.zero_optimization.overlap_comm?",
        ),
        (
            ("engine.deepspeed.zero_optimization.stage3_max_live_parameters=5", "engine.zero_stage=2"),
            "engine.deepspeed.zero_optimization.stage3_max_live_parameters: only ZeRO stage 3 reads it: drop it, or "
            "set engine.zero_stage=3",
        ),
        (
            ("engine.deepspeed.zero_optimization.round_robin_gradients=true", "engine.zero_stage=3"),
            "engine.deepspeed.zero_optimization.round_robin_gradients: ZeRO stage 3 does not read it: drop it, or set "
            "engine.zero_stage=2",
        ),
        (
            (
                "engine.deepspeed.zero_optimization.overlap_comm=true",
                "engine.zero_stage=0",
                "train.precision=fp32",
            ),
            "engine.deepspeed.zero_optimization.overlap_comm: without ZeRO nothing reads it: drop it, or set "
            "engine.zero_stage=1",
        ),
    ],
)
def test_what_forge_owns_or_deepspeed_would_ignore_is_refused(overrides: tuple[str, ...], line: str) -> None:
    with pytest.raises(SpecError) as caught:
        compiled("hardware=8xh100", *overrides)
    assert caught.value.lines == (line,)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_no_bucket_is_left_to_deepspeeds_defaults(stage: int) -> None:
    plan = compiled("+recipe=legal_1b", "hardware=8xh100", f"engine.zero_stage={stage}")
    zero = plan.deepspeed["zero_optimization"]
    assert zero["stage"] == stage
    assert zero["reduce_bucket_size"] == plan.layout.bucket_bytes // 2
    if stage == 3:
        for key in (
            "prefetch_bucket_size",
            "max_live_parameters",
            "max_reuse_distance",
            "param_persistence_threshold",
        ):
            assert 0 < zero[f"stage3_{key}"] <= 1e9


def test_the_config_repeats_the_layout() -> None:
    plan = compiled("+recipe=legal_1b", "hardware=8xh100")
    config, layout = plan.deepspeed, plan.layout
    assert config["train_micro_batch_size_per_gpu"] == layout.micro_batch_sequences
    assert config["gradient_accumulation_steps"] == layout.gradient_accumulation_steps
    assert config["gradient_clipping"] == plan.schedule.gradient_clip
    assert config["bf16"]["enabled"] is (layout.precision == "bf16")


def test_what_is_on_the_host_in_the_layout_is_in_the_config() -> None:
    host = compiled("+recipe=legal_1b", "hardware=8xh100", "engine.offload_parameters=cpu")
    device = compiled("+recipe=legal_1b", "hardware=8xh100", "engine.offload_optimizer=none")
    assert host.layout.zero_stage == 3
    assert host.deepspeed["zero_optimization"]["offload_optimizer"]["device"] == "cpu"
    assert host.deepspeed["zero_optimization"]["offload_param"]["device"] == "cpu"
    assert "offload_optimizer" not in device.deepspeed["zero_optimization"]
