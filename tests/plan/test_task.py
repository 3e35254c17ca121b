from __future__ import annotations

import re

import pytest

from forge.errors import SpecError
from forge.plan.task import check_task
from forge.spec.compose import compose_spec


def test_conversations_ask_for_whole_ones() -> None:
    with pytest.raises(SpecError) as caught:
        check_task(compose_spec(["train=sft"]).values)
    packing, curate = caught.value.lines
    assert packing.startswith("data.packing: concatenate cuts conversations")
    assert curate.startswith("data.curate: repair, boilerplate would take lines out")
    assert all(line.endswith(": use data=chat") for line in (packing, curate))


def test_documents_may_be_cut() -> None:
    check_task(compose_spec([]).values)
    check_task(compose_spec(["data=chat"]).values)


def test_the_options_for_conversations_go_together() -> None:
    check_task(compose_spec(["train=sft", "data=chat"]).values)


@pytest.mark.parametrize(
    "override",
    [
        "train.phases=[{fraction:1.0}]",
        "engine.sequence_parallel_degree=2",
        "train.z_loss=1e-4",
        "evaluate.contamination=drop",
    ],
)
def test_preferences_are_learnt_in_one_way(override: str) -> None:
    key = override.split("=")[0]
    given = ["train=dpo", "data=chat", "model.init_from=/folder", override]
    with pytest.raises(SpecError, match=re.escape(key)):
        check_task(compose_spec(given).values)
