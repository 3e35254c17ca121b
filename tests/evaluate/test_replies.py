from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from forge.evaluate.replies import continuation_nats, greedy_replies
from forge.progress import SilentProgress
from tests.export.artifacts import planned, write_model

PROMPTS = [[0, 5, 9], [0, 7, 8, 9, 30], [0, 5, 10], [0, 9], [0, *range(3, 66)]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("model")
    write_model(folder, planned().model, torch.float32)
    return transformers.AutoModelForCausalLM.from_pretrained(folder).eval()


def replies(model: Any, **changes: Any) -> list[str]:
    settings: dict[str, Any] = {
        "end_ids": frozenset(),
        "one_line": False,
        "reply_tokens": 6,
        "context_tokens": 64,
        "progress": SilentProgress(),
    }
    return greedy_replies(model, PROMPTS, lambda ids: " ".join(map(str, ids)), **settings | changes)


def test_replies_are_those_of_generate(model: Any) -> None:
    expected = []
    for prompt in PROMPTS[:4]:
        ids = model.generate(
            torch.tensor([prompt]), max_new_tokens=6, do_sample=False, eos_token_id=None, pad_token_id=2
        )
        expected.append(" ".join(map(str, ids[0, len(prompt) :].tolist())))
    found = replies(model)
    assert found[:4] == expected
    assert len(set(expected)) > 1
    assert found[4] == ""  # the prompt fills the context


def test_a_reply_ends_where_it_is_told_to(model: Any) -> None:
    whole = [reply.split() for reply in replies(model)[:4]]
    end = int(whole[0][2])
    cut = replies(model, end_ids=frozenset({end}))
    for words, reply in zip(whole, cut, strict=False):
        kept = words[: words.index(str(end))] if str(end) in words else words
        assert reply.split() == kept
    assert [len(reply.split()) for reply in replies(model, context_tokens=7)[:4]] == [4, 2, 4, 5]


def test_a_reply_of_one_line_ends_with_it(model: Any) -> None:
    newline = replies(model)[0].split()[2]

    def decode(ids: list[int]) -> str:
        return " ".join("\n" if str(one) == newline else str(one) for one in ids)

    one, many = (
        greedy_replies(
            model,
            PROMPTS[:1],
            decode,
            end_ids=frozenset(),
            one_line=one_line,
            reply_tokens=6,
            context_tokens=64,
            progress=SilentProgress(),
        )[0]
        for one_line in (True, False)
    )
    assert one == many.split("\n")[0].strip()
    assert "\n" in many


def test_likelihoods_are_those_of_one_token_after_the_other(model: Any) -> None:
    found = continuation_nats(model, [0, 5], [[9, 30], [9], []])
    with torch.inference_mode():
        logs = torch.log_softmax(model(torch.tensor([[0, 5, 9]])).logits[0].float(), dim=-1)
    assert found[1] == pytest.approx(-float(logs[1, 9]), abs=1e-4)
    assert found[0] == pytest.approx(-float(logs[1, 9] + logs[2, 30]), abs=1e-4)
    assert found[2] == float("inf")
