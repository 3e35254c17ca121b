"""A model learns a few questions and their answers, and the exported folder answers them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.run.small import forge_run

pytestmark = pytest.mark.slow

# Plain transformers, no forge: what a user of the exported folder does.
ASK = """
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer
model, tokenizer = (kind.from_pretrained(sys.argv[1]) for kind in (AutoModelForCausalLM, AutoTokenizer))
for question in sys.argv[2:]:
    chat = [{"role": "user", "content": question}]
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    out = model.generate(**ids, max_new_tokens=24, do_sample=False)
    print(tokenizer.decode(out[0, ids["input_ids"].shape[1]:], skip_special_tokens=True))
assert "forge" not in sys.modules
"""
PLACES = {"north": "iron", "south": "salt", "east": "silk", "west": "corn"}


OTHER_PLACES = {"north": "salt", "south": "corn", "east": "iron", "west": "silk"}


def write_conversations(folder: Path, places: dict[str, str]) -> Path:
    """Write a few questions, each asked in many ways of greeting, and two lines that are no conversation."""
    folder.mkdir()
    lines: list[dict[str, Any]] = []
    for greeting in range(40):
        for place, good in places.items():
            asked = f"{greeting} hello: what comes from the {place}?"
            lines.append({"messages": [{"role": "user", "content": asked}, answer(good)]})
    lines += [{"messages": [{"role": "user", "content": "?"}]}, {"text": "no conversation"}]
    (folder / "chat.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def answer(good: str) -> dict[str, str]:
    return {"role": "assistant", "content": f"{good} comes from there."}


LEARN = (
    *("train=sft", "data=chat", "train.epochs=null", "train.learning_rate=1e-2"),
    *("train.sequence_length=64", "train.global_batch_tokens=1024", "train.warmup_fraction=0.1"),
    *("evaluate.prompts=[7 hello: what comes from the east?]", "evaluate.sample_tokens=24"),
    *("evaluate.sample_temperature=0", "data.held_out_fraction=0.05", "tokenizer.vocab_size=300"),
)


def artifacts_of(place: Path) -> dict[str, Path]:
    return {path.name.split("-")[0]: path for path in (place / "artifacts").iterdir()}


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("taught")
    finished = forge_run(write_conversations(place / "chats", PLACES), place, *LEARN, "train.steps=60")
    assert finished.returncode == 0, finished.stderr
    return place


def test_the_exported_model_answers_what_it_was_taught(taught: Path) -> None:
    artifacts = artifacts_of(taught)
    lake = json.loads((artifacts["lake"] / "artifact.json").read_text())["summary"]
    assert lake["set_aside"] == {"no assistant answer": 1, "no messages": 1}
    evaluation = json.loads((artifacts["evaluate"] / "evaluation.json").read_text())
    assert evaluation["samples"][0]["text"] == "silk comes from there."
    assert evaluation["held_out_loss_nats_per_token"] < 0.5
    assert evaluation["held_out_bytes"] < 26 * evaluation["held_out_documents"]
    shown = subprocess.run(
        [
            *(sys.executable, "-P", "-c", ASK, str(artifacts["export"] / "hf")),
            *(f"3 hello: what comes from the {place}?" for place in PLACES),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.splitlines() == [f"{good} comes from there." for good in PLACES.values()]


def test_adapters_teach_a_trained_model_other_answers(taught: Path, tmp_path: Path) -> None:
    start = artifacts_of(taught)["export"] / "hf"
    source = write_conversations(tmp_path / "chats", OTHER_PLACES)
    adapters = ("train.lora_rank=16", "train.lora_alpha=32", "train.steps=100", f"model.init_from={start}")
    finished = forge_run(source, tmp_path, *LEARN, *adapters)
    assert finished.returncode == 0, finished.stderr
    artifacts = artifacts_of(tmp_path)
    evaluation = json.loads((artifacts["evaluate"] / "evaluation.json").read_text())
    assert evaluation["samples"][0]["text"] == "iron comes from there."
    before, after = (load_file(folder / "model.safetensors") for folder in (start, artifacts["train"]))
    for name, weight in after.items():
        learns = name.split(".")[-2].endswith("_proj")
        assert torch.equal(weight, before[name].to(weight.dtype)) != learns, name
    assert {path.name for path in (artifacts["export"] / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
