from __future__ import annotations

from pathlib import Path

import pytest

from forge.errors import StageError
from forge.evaluate.prompts import prompt_ids
from tests.export.artifacts import planned, write_tokenizer


def test_prompts_begin_a_document_and_those_without_room_are_all_named(tmp_path: Path) -> None:
    tokenizer = write_tokenizer(tmp_path)
    plan = planned(evaluate={"prompts": ["the licence grants"]})
    assert prompt_ids(plan, tmp_path) == [tokenizer.encode("the licence grants").ids]
    room_tokens = plan.model.max_sequence_length
    long = planned(evaluate={"prompts": ["the licence " * 64, "fits", "grants " * 99]})
    with pytest.raises(StageError) as caught:
        prompt_ids(long, tmp_path)
    assert [line.partition(":")[2].partition(":")[0].strip()[:8] for line in caught.value.lines] == [
        "'the lic",
        "'grants ",
    ]
    assert all(
        line.endswith(f"leave no room in a context of {room_tokens}: shorten the prompt")
        for line in caught.value.lines
    )
