from __future__ import annotations

import re

import pytest

from forge.errors import FitError
from tests.plan.specs import compiled


def _lines(*overrides: str) -> tuple[str, ...]:
    with pytest.raises(FitError) as caught:
        compiled(*overrides)
    assert caught.value.exit_code == 3
    return caught.value.lines


@pytest.mark.parametrize(
    "overrides",
    [
        ("model=llama_7b", "hardware=1xa10g"),
        ("model=llama_7b", "hardware=1xh100", "engine.zero_stage=1", "engine.offload_optimizer=none"),
        (
            "model=llama_1b",
            "hardware=8xh100",
            "train.sequence_length=65536",
            "train.global_batch_tokens=524288",
            "engine.activation_checkpointing=none",
            "engine.loss_chunks=1",
        ),
        ("model=llama_1b", "hardware=cpu"),
        (
            "model=mixtral_8x1b",
            "hardware=2x4xrtx4090",
            "engine.zero_stage=2",
            "engine.offload_optimizer=none",
        ),
        ("model=llama_7b", "hardware=local"),
    ],
)
def test_every_change_named_makes_it_fit(overrides: tuple[str, ...]) -> None:
    first, *changes = _lines(*overrides)
    assert "does not fit: the leanest layout (" in first
    assert changes
    for line in changes:
        match = re.search(
            r": fits (?:with|on) (?P<settings>[^,:]+)(?:, [\d.]+x slower|: [\d,.]+ hours(?: and \$[\d,]+)?)?\Z",
            line,
        )
        assert match is not None, line
        settings = match["settings"].split()
        keys = {setting.split("=")[0] for setting in settings}
        kept = [override for override in overrides if override.split("=")[0] not in keys]
        compiled(*kept, *settings)


def test_freeing_a_pin_says_what_it_costs() -> None:
    changes = _lines(
        "model=llama_1b",
        "hardware=1xa10g",
        "hardware.gpu_memory_gib=12",
        "engine.offload_optimizer=none",
        "train.global_batch_tokens=1024",
    )
    assert re.search(r"fits with engine.offload_optimizer=cpu, [\d.]+x slower", changes[1])


LARGE = (
    "model=llama_7b",
    "hardware=8xh100",
    "train.sequence_length=4096",
    "train.global_batch_tokens=4194304",
)


def test_the_nearest_value_of_each_pin_is_named() -> None:
    pins = ("engine.micro_batch_sequences=16", "engine.activation_checkpointing=none", "engine.loss_chunks=8")
    changes = [line.partition(": fits with ")[2].partition(",")[0] for line in _lines(*LARGE, *pins)[1:]]
    micro_batch = next(change for change in changes if "micro_batch" in change)
    size = int(re.findall(r"micro_batch_sequences=(\d+)", micro_batch)[0])
    assert size >= 2
    _lines(*LARGE, f"engine.micro_batch_sequences={2 * size}", *pins[1:])
    assert "engine.activation_checkpointing=full" in changes
    _lines(*LARGE, pins[0], "engine.activation_checkpointing=selective", pins[2])


def test_the_line_says_what_takes_the_memory() -> None:
    first = _lines(*LARGE, "engine.micro_batch_sequences=16", "engine.activation_checkpointing=none")[0]
    assert re.search(r"GiB a device \(saved activations: \d+\.\d\)$", first)


def test_the_smallest_number_of_gpus_is_named() -> None:
    lines = _lines(
        "model=llama_7b", "hardware=1xh100", "engine.offload_optimizer=none", "engine.zero_stage=3"
    )
    (more,) = [line for line in lines if "fits on" in line and "xh100: " in line.partition("fits on")[2]]
    found = re.search(r"fits on hardware=(\d+)xh100: [\d,.]+ hours and \$[\d,]+$", more)
    assert found is not None, more
    count = int(found[1])
    assert count > 1
    for fewer in (1, 2, 4):
        if fewer < count:
            _lines(
                "model=llama_7b",
                f"hardware={fewer}xh100",
                "engine.offload_optimizer=none",
                "engine.zero_stage=3",
            )


def test_what_nothing_mends_is_one_line() -> None:
    lines = _lines(
        "model=llama_7b",
        "model.layers=1000",
        "model.hidden_size=65536",
        "model.attention_heads=512",
        "model.kv_heads=512",
        "hardware=1xa10g",
    )
    assert len(lines) == 1
