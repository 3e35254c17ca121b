"""A model of conversations is asked by its chat template, and measured on its answers."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import transformers

from forge.data.conversations import Message
from forge.evaluate.asking import TrainedModel, ask_model, prompts_of
from forge.evaluate.evaluate import load_model
from forge.evaluate.given_file import measure_text
from forge.evaluate.questions import Question
from forge.progress import SilentProgress
from tests.export.artifacts import CHATML, planned, write_model, write_tokenizer

TEXTS = ["the licence?", "<|im_end|> grants § 7"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place: Path = tmp_path_factory.mktemp("chat")
    write_tokenizer(place, CHATML)
    write_model(place, planned().model, torch.float32)
    return place


def model(folder: Path, is_chat: bool) -> TrainedModel:
    return TrainedModel(
        network=load_model(folder, "cpu"),
        tokenizer=folder,
        is_chat=is_chat,
        question_template="Q: {question}\nA:",
        reply_tokens=5,
        context_tokens=64,
    )


def test_a_question_is_put_as_in_training(folder: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    chat = prompts_of(model(folder, True), TEXTS)
    asked = [{"role": "user", "content": TEXTS[0]}]
    assert (
        chat[0]
        == tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=True)["input_ids"]
    )
    # What a question spells is text and ends no turn.
    assert chat[1].count(tokenizer.convert_tokens_to_ids("<|im_end|>")) == 1
    plain = prompts_of(model(folder, False), TEXTS)
    assert tokenizer.decode(plain[0]) == "<|bos|>Q: the licence?\nA:"


def test_a_reply_is_that_of_generate(folder: Path) -> None:
    trained = model(folder, True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    (prompt,) = prompts_of(trained, TEXTS[:1])
    ends = tokenizer.convert_tokens_to_ids(["<|eos|>", "<|im_end|>"])
    ids = trained.network.generate(
        torch.tensor([prompt]), max_new_tokens=5, do_sample=False, eos_token_id=ends, pad_token_id=2
    )[0, len(prompt) :]
    question = Question(TEXTS[0], ("x",), "other", "t")
    (reply,) = ask_model(trained, [question], SilentProgress())
    assert reply == tokenizer.decode(ids, skip_special_tokens=True).strip()
    assert reply


def test_of_a_conversation_the_answers_are_measured(folder: Path) -> None:
    conversation = (Message("user", "each licensee?"), Message("assistant", "sell § 7"))
    plan = planned()
    network = load_model(folder, "cpu")
    figures, rows = measure_text(network, plan, folder, [conversation], SilentProgress())
    assert figures["bytes"] == len("sell § 7".encode())

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    turns = [{"role": one.role, "content": one.content} for one in conversation]
    ids = tokenizer.apply_chat_template(turns, return_dict=True)["input_ids"]
    opened = tokenizer.apply_chat_template(turns[:1], add_generation_prompt=True, return_dict=True)[
        "input_ids"
    ]
    end = len(ids) - 1 - ids[::-1].index(tokenizer.convert_tokens_to_ids("<|im_end|>"))
    length = plan.schedule.sequence_length
    nats = 0.0
    with torch.inference_mode():
        for place in range(len(opened), end + 1):
            start = (place - 1) // length * length
            logits = network(input_ids=torch.tensor([ids[start:place]])).logits[0, -1].double()
            nats -= float(logits.log_softmax(-1)[ids[place]])
    assert rows == [{"document": 1, "bytes": figures["bytes"], "nats": pytest.approx(nats, rel=1e-4)}]
    assert figures["bits_per_byte"] == pytest.approx(nats / math.log(2) / figures["bytes"], rel=1e-4)
