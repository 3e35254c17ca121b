"""A model that answers in two manners comes to keep to the preferred one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.engine.runs import events_of
from tests.run.small import forge_run
from tests.run.test_chat import PLACES, artifacts_of

pytestmark = pytest.mark.slow

MANNERS = ("{} comes from there.", "from there comes {}!")
CHAT = (
    *("data=chat", "train.epochs=null", "train.sequence_length=128", "train.global_batch_tokens=1024"),
    *("evaluate.prompts=[7 hello: what comes from the east?]", "evaluate.sample_tokens=24"),
    *("evaluate.sample_temperature=0", "data.held_out_fraction=0.1", "tokenizer.vocab_size=300"),
)
BASE = ("train=sft", "train.learning_rate=1e-2", "train.steps=60")
PREFER = ("train=dpo", "train.evaluate_every_steps=5", "train.learning_rate=1e-3", "train.steps=20")


def questions() -> list[tuple[str, str]]:
    """Return questions with what answers them."""
    return [
        (f"{greeting} hello: what comes from the {place}?", good)
        for greeting in range(40)
        for place, good in PLACES.items()
    ]


def write(folder: Path, records: list[Any]) -> Path:
    folder.mkdir()
    (folder / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that answers in either manner."""
    place = tmp_path_factory.mktemp("base")
    records = [
        {"prompt": asked, "completion": manner.format(good)}
        for asked, good in questions()
        for manner in MANNERS
    ]
    finished = forge_run(write(place / "source", records), place, *CHAT, *BASE)
    assert finished.returncode == 0, finished.stderr
    return artifacts_of(place)["export"] / "hf"


def test_held_out_preferences_are_learnt_and_exported(base: Path, tmp_path: Path) -> None:
    records: list[Any] = [
        {"prompt": asked, "chosen": MANNERS[1].format(good), "rejected": MANNERS[0].format(good)}
        for asked, good in questions()
    ]
    source = write(tmp_path / "source", [*records, {"prompt": "p", "chosen": "same", "rejected": "same"}])
    start = f"model.init_from={base}"
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
