from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer

from forge.evaluate.samples import continue_prompt
from tests.export.artifacts import planned, write_model, write_tokenizer

PROMPT = "the licence grants"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("train")
    write_model(folder, planned().model, torch.float32)
    return transformers.AutoModelForCausalLM.from_pretrained(folder).eval()


def sample(model: Any, tokenizer: Tokenizer, prompt: str = PROMPT, **changes: Any) -> str:
    settings: dict[str, Any] = {
        "end_ids": frozenset(),
        "context_tokens": 64,
        "sample_tokens": 20,
        "temperature": 0.0,
        "seed": 5,
    }
    return continue_prompt(model, tokenizer, tokenizer.encode(prompt).ids, **settings | changes)


def test_greedy_is_what_transformers_generates(model: Any, tokenizer: Tokenizer) -> None:
    ids = torch.tensor([tokenizer.encode(PROMPT).ids])
    written = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=20,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=2,
    )
    expected = tokenizer.decode(written[0, ids.shape[1] :].tolist(), skip_special_tokens=True)
    assert sample(model, tokenizer) == expected


def test_the_seed_decides_the_draws(model: Any, tokenizer: Tokenizer) -> None:
    torch.manual_seed(1)
    first = sample(model, tokenizer, temperature=1.0)
    torch.manual_seed(2)
    assert sample(model, tokenizer, temperature=1.0) == first
    assert sample(model, tokenizer, temperature=1.0, seed=6) != first
    assert sample(model, tokenizer, temperature=1e-4) == sample(model, tokenizer)


def test_stops_at_the_end_token_and_at_the_end_of_the_context(model: Any, tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(PROMPT).ids
    with torch.inference_mode():
        likeliest = int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
    assert sample(model, tokenizer, end_ids=frozenset({1, likeliest})) == ""
    assert sample(model, tokenizer, context_tokens=len(ids) + 1) == tokenizer.decode([likeliest])
