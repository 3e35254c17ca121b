from __future__ import annotations

from pathlib import Path

import pytest

from forge.plan import stages
from forge.plan.stages import STAGES, room_hash
from forge.plan.types import SourcePlan
from tests.plan.specs import compiled

BASE = ("+recipe=legal_tiny", "hardware=cpu")
FROM_LAKE = ["lake", "corpus", "tokenizer", "tokens", "train", "evaluate", "export"]
FROM_TOKENIZER = FROM_LAKE[2:]
FROM_TRAIN = ["train", "evaluate", "export"]


def _keys(*overrides: str, sources: tuple[SourcePlan, ...] = ()) -> dict[str, str]:
    return {stage.name: stage.key for stage in compiled(*BASE, *overrides, sources=sources).stages}


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("data.max_file_bytes=1000", FROM_LAKE),
        ("data.metadata_allow.category=[CLA]", FROM_LAKE),
        ("data.min_words=21", FROM_LAKE[1:]),
        ("data.held_out_fraction=0.06", FROM_LAKE[1:]),
        ("seed=5", FROM_LAKE[1:]),
        ("tokenizer.vocab_size=4000", FROM_TOKENIZER),
        ("train.learning_rate=1e-3", FROM_TRAIN),
        ("train.global_batch_tokens=16384", FROM_TRAIN),
        ("model.layers=5", FROM_TRAIN),
        ("engine.micro_batch_sequences=2", FROM_TRAIN),
        ("hardware.threads_per_process=1", FROM_TRAIN),
        ("evaluate.sample_tokens=9", ["evaluate", "export"]),
        ("export.dtype=fp32", []),  # what `auto` is on a CPU without bf16
        ("export.dtype=bf16", ["export"]),
        ("name=another", ["export"]),
        ("output_dir=/elsewhere", []),
        ("data.assumed_tokens=7", []),
    ],
)
def test_a_change_reaches_the_stages_that_depend_on_it_and_no_other(
    override: str, changed: list[str]
) -> None:
    before, after = _keys(), _keys(override)
    assert [name for name in before if before[name] != after[name]] == changed


def test_documents_that_changed_reach_every_stage() -> None:
    before = SourcePlan("/my/folder", 1, 10, "0" * 64)
    after = SourcePlan("/my/folder", 1, 10, "1" * 64)
    keys, other = _keys(sources=(before,)), _keys(sources=(after,))
    assert [name for name in keys if keys[name] != other[name]] == FROM_LAKE


@pytest.mark.parametrize("room", ["data", "engine", "evaluate", "export"])
def test_changed_code_reaches_the_stages_it_makes_and_those_after(
    room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _keys()
    monkeypatch.setattr(stages, "room_hash", lambda name: "changed" if name == room else room_hash(name))
    after = _keys()
    makes = [name for name, (_, rooms) in STAGES.items() if room in rooms]
    expected = [name for name in STAGES if name in makes or _comes_after(name, makes)]
    assert [name for name in before if before[name] != after[name]] == expected


def test_a_room_is_hashed_by_the_text_of_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "PACKAGE_DIR", tmp_path)
    for room, text in (("a", "x = 1\n"), ("b", "x = 1\n"), ("c", "x = 2\n")):
        (tmp_path / room).mkdir()
        (tmp_path / room / "code.py").write_text(text)
    try:
        assert room_hash("a") == room_hash("b") != room_hash("c")
    finally:
        room_hash.cache_clear()


def test_inputs_come_before_the_stages_that_read_them() -> None:
    seen: list[str] = []
    for stage in compiled(*BASE).stages:
        assert set(stage.inputs) <= set(seen)
        seen.append(stage.name)
    assert seen == FROM_LAKE


def _comes_after(name: str, made: list[str]) -> bool:
    inputs, _ = STAGES[name]
    return any(source in made or _comes_after(source, made) for source in inputs)
