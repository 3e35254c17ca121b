"""Constants: inside their bounds, complete, and found by chip name."""

from __future__ import annotations

import pytest

from forge.plan import fitted
from forge.plan.efficiency import FITTED, FRAMEWORKS, GENERATIONS, constants, generation_of


@pytest.mark.parametrize("name", sorted(FITTED))
def test_what_is_shipped_is_physical(name: str) -> None:
    constant = FITTED[name]
    assert constant.low <= constant.expected <= constant.high
    assert constant.low <= constants()[name] <= constant.high
    assert constant.spread > 0
    assert constant.why


def test_every_shipped_value_belongs_to_a_constant() -> None:
    assert set(fitted.VALUES) <= set(FITTED)


def test_every_framework_and_generation_has_its_constants() -> None:
    names = set(FITTED)
    assert {f"exposed.{key}" for key in FRAMEWORKS} <= names
    assert {f"{kind}.{key}" for kind in ("matmul", "flash") for key in set(GENERATIONS.values())} <= names


def test_no_share_is_above_one() -> None:
    for name, constant in FITTED.items():
        if name.split(".")[0] in ("matmul", "flash", "exposed", "hbm", "link", "network", "contention"):
            assert constant.high <= 1


@pytest.mark.parametrize(
    ("gpu", "generation"),
    [
        ("h100-sxm-80gb", "hopper"),
        ("NVIDIA H200", "hopper"),
        ("gh200", "hopper"),
        ("a100-sxm-40gb", "ampere"),
        ("a10g", "ampere"),
        ("gb200", "blackwell"),
        ("b200-sxm", "blackwell"),
        ("v100-32gb", "volta"),
        ("mi300x", "cdna"),
        ("l40s", "ada"),
        ("rtx-4090", "ada"),
        ("rtx-5090", "blackwell"),
        ("", "hopper"),
        ("something new", "hopper"),
    ],
)
def test_generation_by_name(gpu: str, generation: str) -> None:
    assert generation_of(gpu) == generation
