"""A model learns a few questions and their answers, and the exported folder answers them; then other answers, by
adapters, and to prefer one manner of answering.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.engine.runs import events_of
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
MANNERS = ("{} comes from there.", "from there comes {}!")

CHAT = (
    *("data=chat", "train.epochs=null", "train.sequence_length=128", "train.global_batch_tokens=1024"),
    *("evaluate.prompts=[7 hello: what comes from the east?]", "evaluate.sample_tokens=24"),
    *("evaluate.sample_temperature=0", "data.held_out_fraction=0.1", "tokenizer.vocab_size=300"),
)
LEARN = ("train=sft", "train.learning_rate=1e-2", "train.warmup_fraction=0.1")
PREFER = ("train=dpo", "train.evaluate_every_steps=5", "train.learning_rate=1e-3", "train.steps=20")


def questions(places: dict[str, str]) -> list[tuple[str, str]]:
    """Return each question, asked in many ways of greeting, with what answers it."""
    return [
        (f"{greeting} hello: what comes from the {place}?", good)
        for greeting in range(40)
        for place, good in places.items()
    ]


def conversation(asked: str, answer: str) -> dict[str, Any]:
    said = (("user", asked), ("assistant", answer))
    return {"messages": [{"role": role, "content": content} for role, content in said]}


def write(folder: Path, records: list[Any]) -> Path:
    folder.mkdir()
    (folder / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def artifacts_of(place: Path) -> dict[str, Path]:
    return {path.name.split("-")[0]: path for path in (place / "artifacts").iterdir()}


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that answers in either manner, and two lines that are no conversation."""
    place = tmp_path_factory.mktemp("taught")
    records: list[Any] = [
        conversation(asked, manner.format(good)) for asked, good in questions(PLACES) for manner in MANNERS
    ]
    records += [{"messages": [{"role": "user", "content": "?"}]}, {"text": "no conversation"}]
    finished = forge_run(write(place / "chats", records), place, *CHAT, *LEARN, "train.steps=120")
    assert finished.returncode == 0, finished.stderr
    return place


def test_the_exported_model_answers_what_it_was_taught(taught: Path) -> None:
    artifacts = artifacts_of(taught)
    lake = json.loads((artifacts["lake"] / "artifact.json").read_text())["summary"]
    assert lake["set_aside"] == {"no assistant answer": 1, "no messages": 1}
    evaluation = json.loads((artifacts["evaluate"] / "evaluation.json").read_text())
    assert evaluation["samples"][0]["text"] in [manner.format("silk") for manner in MANNERS]
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
    for line, good in zip(shown.stdout.splitlines(), PLACES.values(), strict=True):
        assert line in [manner.format(good) for manner in MANNERS]


def test_adapters_teach_a_trained_model_other_answers(taught: Path, tmp_path: Path) -> None:
    start = artifacts_of(taught)["export"] / "hf"
    records = [conversation(asked, MANNERS[0].format(good)) for asked, good in questions(OTHER_PLACES)]
    source = write(tmp_path / "chats", records)
    adapters = ("train.lora_rank=16", "train.lora_alpha=32", "train.steps=100", f"model.init_from={start}")
    finished = forge_run(source, tmp_path, *CHAT, *LEARN, *adapters)
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


def test_held_out_preferences_are_learnt_and_exported(taught: Path, tmp_path: Path) -> None:
    records: list[Any] = [
        {"prompt": asked, "chosen": MANNERS[1].format(good), "rejected": MANNERS[0].format(good)}
        for asked, good in questions(PLACES)
    ]
    source = write(tmp_path / "source", [*records, {"prompt": "p", "chosen": "same", "rejected": "same"}])
    start = f"model.init_from={artifacts_of(taught)['export'] / 'hf'}"
    finished = forge_run(source, tmp_path, *CHAT, *PREFER, start)
    assert finished.returncode == 0, finished.stderr
    artifacts = artifacts_of(tmp_path)
    lake = json.loads((artifacts["lake"] / "artifact.json").read_text())["summary"]
    assert lake["set_aside"] == {"same answer": 1}
    evaluation = json.loads((artifacts["evaluate"] / "evaluation.json").read_text())
    found = evaluation["preferences"]
    assert found["pairs"] == evaluation["held_out_documents"] >= 10
    assert found["accuracy"] > 0.9
    assert found["loss"] < 0.5
    assert found["chosen_likelier_fraction"] > 0.9 > found["reference_chosen_likelier_fraction"]
    assert evaluation["samples"][0]["text"].startswith("from there comes")
    (run_dir,) = (tmp_path / "runs").iterdir()
    told = events_of(run_dir, "evaluation")
    assert told[-1]["held_out_preference_accuracy"] > 0.9
    # What the engine measured of the last weights, and what plain transformers makes of the exported ones.
    assert told[-1]["held_out_loss"] == pytest.approx(found["loss"], abs=0.02)
    assert events_of(run_dir, "reference_end")[0]["ending"] == "done"
    card = (artifacts["export"] / "hf" / "README.md").read_text()
    assert "preferred answers" in card

    adapters = ("train.lora_rank=16", "train.learning_rate=1e-2")
    finished = forge_run(source, tmp_path, *CHAT, *PREFER, start, *adapters)
    assert finished.returncode == 0, finished.stderr
    folders = [path.name for path in (tmp_path / "artifacts").iterdir()]
    assert sum(name.startswith("reference-") for name in folders) == 1
    assert sum(name.startswith("train-") for name in folders) == 2
    shown = [
        json.loads(path.read_text())["preferences"]["accuracy"]
        for path in (tmp_path / "artifacts").glob("evaluate-*/evaluation.json")
    ]
    assert len(shown) == 2
    assert min(shown) > 0.9


def test_a_model_to_start_from_is_asked_for(tmp_path: Path) -> None:
    source = write(tmp_path / "source", [{"prompt": "p", "chosen": "a", "rejected": "b"}])
    finished = forge_run(source, tmp_path, *CHAT, "train=dpo", "train.steps=1")
    assert finished.returncode == 2
    (line,) = finished.stderr.strip().splitlines()
    assert "model.init_from: train.task=dpo says which answers of a trained model are preferred" in line
