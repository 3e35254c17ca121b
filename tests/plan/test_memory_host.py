from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from forge.plan.disk import disk_items
from forge.plan.host_memory import CUDA_PROCESS_BYTES, host_memory_items
from forge.plan.memory import memory_items
from forge.plan.weights import weights_of
from tests.plan.test_memory import hardware, layout, model

PARAMETERS = model().parameters


def host(gpus: int = 1, nodes: int = 1, **changes: Any) -> dict[str, int]:
    place = replace(hardware(gpus), nodes=nodes)
    items = host_memory_items(model(), layout(**changes), place, 4096, 4_096_000_000)
    return {item.name: item.bytes for item in items}


def test_a_node_builds_the_whole_model_in_every_process() -> None:
    # Nothing is offloaded: the worst moment is the start. In bf16, and the largest weight in fp32 besides.
    weights = weights_of(model())
    built = 2 * PARAMETERS + 4 * max(weights.embedding, *weights.layer_matrices)
    assert host(8) == {"workers": 8 * CUDA_PROCESS_BYTES, "model being built": 8 * built}


def test_offloaded_states_lie_on_the_host_pinned() -> None:
    offloaded = host(zero_stage=3, offload_optimizer="cpu")
    # fp32 weights, gradients and two moments, and gradients in bf16.
    assert offloaded["offloaded states"] == pytest.approx(18 * PARAMETERS, rel=1e-6)
    assert 0 < offloaded["pinned buffers"] < 10 * PARAMETERS
    assert offloaded["loader"] == 2 * 8 * (1_000_000 + 4096)
    assert offloaded["checkpoint copy"] == 12 * PARAMETERS
    assert "model being built" not in offloaded


def test_offloading_over_more_nodes_leaves_each_less() -> None:
    one, four = (host(nodes=nodes, offload_optimizer="cpu") for nodes in (1, 4))
    assert sum(four.values()) < sum(one.values())


def test_offloading_to_nvme_keeps_buffers_only() -> None:
    on_disk, on_host = (
        host(zero_stage=3, offload_optimizer=place, micro_batch_sequences=1) for place in ("nvme", "cpu")
    )
    assert on_disk.get("offloaded states", 0) <= on_host["offloaded states"]
    assert sum(on_disk.values()) <= sum(on_host.values())


def test_on_a_cpu_there_are_the_workers_and_the_copy_of_their_state() -> None:
    place = hardware(2, "cpu")
    items = {item.name: item.bytes for item in host_memory_items(model(), layout(), place, 4096, 4_096_000)}
    worker = sum(item.bytes for item in memory_items(model(), layout(), place, 4096))
    assert items == {
        "workers": 2 * worker,
        "loader": 2 * 16 * (1000 + 4096),
        "checkpoint copy": 12 * PARAMETERS,
    }


def test_disk_holds_the_data_in_each_form_tokens_checkpoints_and_weights() -> None:
    items = {
        item.name: item.bytes
        for item in disk_items(model(), layout(), 10_000, 2500, 2, ["hf", "gguf"], ["f16"])
    }
    assert items == {
        "lake": 10_000,
        "corpus": 25_000,
        "tokens": 5000,
        "checkpoints": 3 * 12 * PARAMETERS,
        "trained weights": 2 * PARAMETERS,
        "export": (2 + 2 + 4) * PARAMETERS,  # the last while the proof runs
    }


@pytest.mark.parametrize(("hidden_size", "width_bytes"), [(256, 210 / 256), (192, 34 / 32)])
def test_a_k_type_takes_its_largest_at_most(hidden_size: int, width_bytes: float) -> None:
    network = model(hidden_size=hidden_size, intermediate_size=512, attention_heads=hidden_size // 64)

    def export_bytes(kinds: list[str]) -> int:
        items = disk_items(network, layout(), 0, 1000, 1, ["gguf"], kinds)
        return next(item.bytes for item in items if item.name == "export")

    assert export_bytes(["q4_k_m"]) - export_bytes([]) == round(width_bytes * network.parameters)


def test_a_large_vocabulary_takes_four_bytes_a_token() -> None:
    def tokens(vocabulary: int) -> int:
        items = disk_items(model(vocab_size=vocabulary), layout(), 0, 1000, 1)
        return next(item.bytes for item in items if item.name == "tokens")

    assert (tokens(65_535), tokens(65_536)) == (2000, 4000)
