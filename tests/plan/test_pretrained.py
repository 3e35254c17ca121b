from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from forge.errors import SpecError
from forge.plan.pretrained import continue_from, read_pretrained, vocabulary
from forge.plan.types import plan_to_dict
from tests.export.artifacts import FAMILIES, QWEN3_MOE, VOCAB_SIZE, planned, write_model, write_tokenizer
from tests.plan.specs import composed


def _folder(folder: Path, shape: dict[str, Any]) -> Path:
    write_model(folder, planned(shape).model)
    write_tokenizer(folder)
    return folder


def _entries(folder: Path) -> int:
    return int(Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size())


def _complaint(act: Callable[[], Any]) -> str:
    with pytest.raises(SpecError) as caught:
        act()
    (line,) = caught.value.lines
    return line


@pytest.mark.parametrize("shape", FAMILIES)
def test_the_shape_is_that_of_the_model_that_was_saved(shape: dict[str, Any], tmp_path: Path) -> None:
    model = planned(shape).model
    found = read_pretrained(str(_folder(tmp_path, shape)))
    assert found.shape == {name: getattr(model, name) for name in found.shape}
    assert (found.vocab_size, found.tokenizer_vocab_size) == (VOCAB_SIZE, _entries(tmp_path))


def test_what_older_folders_say_is_understood(tmp_path: Path) -> None:
    folder = _folder(tmp_path, QWEN3_MOE)
    config = json.loads((folder / "config.json").read_text())
    before = read_pretrained(str(folder)).shape
    config["rope_theta"] = config.pop("rope_parameters")["rope_theta"]
    config["num_experts"] = config.pop("num_local_experts")
    (folder / "config.json").write_text(json.dumps(config))
    assert read_pretrained(str(folder)).shape == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "gpt2"}, "model_type 'gpt2' is not one of llama, mistral"),
        ({"rope_scaling": {"factor": 2}}, "has scaled rope"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "has scaled rope"),
        ({"attention_bias": True}, "has biases"),
        ({"hidden_act": "gelu"}, "has activation gelu"),
        ({"quantization_config": {"bits": 4}}, "has quantized weights"),
        ({"hidden_size": "32"}, "hidden_size is '32', not a whole number above 0"),
        ({"hidden_size": 16}, "model.embed_tokens.weight is [384, 32], its config.json says [384, 16]"),
        ({"intermediate_size": 48}, "mlp.gate_proj.weight is [64, 32], its config.json says [48, 32]"),
        ({"num_hidden_layers": 3}, "holds no model.layers.2.self_attn.q_proj.weight"),
        ({"num_hidden_layers": 1}, "holds model.layers.1."),
    ],
)
def test_a_folder_that_lies_is_one_line(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    folder = _folder(tmp_path, {})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    line = _complaint(lambda: read_pretrained(str(folder)))
    assert line.startswith("model.init_from: ")
    assert words in line


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def _huge(file: Path) -> None:
    file.write_bytes((2**60).to_bytes(8, "little") + b"{}")


def _integers(file: Path) -> None:
    tensors = load_file(file)
    save_file(tensors | {"model.norm.weight": torch.zeros(32, dtype=torch.int8)}, file)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_cut, "is not a whole safetensors file"),
        (_huge, "is not a whole safetensors file"),
        (lambda file: file.write_bytes(b"abc"), "is not a whole safetensors file"),
        (_integers, "model.norm.weight is kept as I8"),
        (lambda file: file.rename(file.with_name("pytorch_model.bin")), "has no *.safetensors"),
        (lambda file: file.with_name("again.safetensors").write_bytes(file.read_bytes()), "another file"),
    ],
)
def test_damaged_weights_are_one_line(spoil: Callable[[Path], object], words: str, tmp_path: Path) -> None:
    folder = _folder(tmp_path, {})
    spoil(folder / "model.safetensors")
    assert words in _complaint(lambda: read_pretrained(str(folder)))


def test_a_folder_without_a_model_is_one_line(tmp_path: Path) -> None:
    assert "cannot be read" in _complaint(lambda: read_pretrained(str(tmp_path / "none")))
    (tmp_path / "config.json").write_text("[1]")
    assert "is not a JSON object" in _complaint(lambda: read_pretrained(str(tmp_path)))
    (tmp_path / "tokenizer.json").write_text("{}")
    assert "is not a tokenizer" in _complaint(lambda: vocabulary(tmp_path / "tokenizer.json"))


def test_the_folder_fills_shape_and_tokenizer_and_changes_nothing_else(tmp_path: Path) -> None:
    found = read_pretrained(str(_folder(tmp_path, {})))
    values, _ = composed()
    before = json.dumps(values)
    filled = continue_from(values, found, lambda _: False)
    assert json.dumps(values) == before
    assert (filled["model"]["layers"], filled["model"]["rope_theta"]) == (2, 50_000.0)
    assert filled["model"]["initializer_std"] == values["model"]["initializer_std"]
    assert (filled["tokenizer"]["path"], filled["tokenizer"]["vocab_size"]) == (
        str(tmp_path),
        _entries(tmp_path),
    )
    assert filled["train"] == values["train"]


def test_a_value_the_user_set_that_differs_is_an_error_that_names_both(tmp_path: Path) -> None:
    found = read_pretrained(str(_folder(tmp_path, {})))
    values, _ = composed("model.layers=7")

    def pinned(key: tuple[str, str]) -> bool:
        return key == ("model", "layers")

    line = _complaint(lambda: continue_from(values, found, pinned))
    assert line.startswith(f"model.layers: 7 is set, the weights of {tmp_path} have 2")
    agreeing, _ = composed("model.layers=2")
    assert continue_from(agreeing, found, pinned)["model"]["layers"] == 2


def test_another_vocabulary_is_an_error(tmp_path: Path) -> None:
    found = read_pretrained(str(_folder(tmp_path, {})))
    values, _ = composed("tokenizer.path=other", "tokenizer.vocab_size=400")
    line = _complaint(lambda: continue_from(values, found, lambda _: False))
    assert line.startswith("tokenizer.vocab_size: 400 entries")
    values, _ = composed("tokenizer.vocab_size=400")
    line = _complaint(lambda: continue_from(values, found, lambda key: key == ("tokenizer", "vocab_size")))
    assert line.startswith("tokenizer.vocab_size: 400 is set")
    (tmp_path / "tokenizer.json").unlink()
    bare = read_pretrained(str(tmp_path))
    assert "has no tokenizer.json" in _complaint(lambda: continue_from(composed()[0], bare, lambda _: False))


def test_a_plan_from_random_weights_names_no_folder() -> None:
    assert plan_to_dict(planned())["initial_weights"] == []
