"""The proof must fail where it should: each test damages one thing in a good export."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from forge.export import verify as verify_module
from forge.export.hf_folder import write_hf_folder
from forge.export.mismatch import Mismatch
from forge.export.verify import verify
from tests.export.artifacts import planned


def check(trained: Path, hf: Path) -> dict[str, Any]:
    return verify(trained / "train", trained / "tokenizer", hf)


def edit_json(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def edit_weights(hf: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    path = hf / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def test_a_good_export_is_proven(trained: Path, hf: Path) -> None:
    report = check(trained, hf)
    assert report["trained_dtype"] == report["exported_dtype"] == "bfloat16"
    assert report["tokenizer_strings_equal"] > 500
    assert report["logit_positions_equal"] > 500
    with safe_open(hf / "model.safetensors", framework="pt") as stream:
        assert report["weight_tensors_equal"] == len(list(stream.keys())) + 1  # and the tied output matrix
    assert report["cast_logits_max_abs_difference"] == 0.0


@pytest.mark.parametrize("place", [0.0, 0.37, 1.0])
def test_a_flipped_bit(trained: Path, hf: Path, place: float) -> None:
    path = hf / "model.safetensors"
    content = bytearray(path.read_bytes())
    body = 8 + int.from_bytes(content[:8], "little")
    content[body + int(place * (len(content) - body - 1))] ^= 1
    path.write_bytes(content)
    with pytest.raises(Mismatch, match=r"^weights: model\.[^ ]+: 1 of \d+ values differ$"):
        check(trained, hf)


def test_swapped_tensors(trained: Path, hf: Path) -> None:
    first, second = (f"model.layers.{layer}.self_attn.q_proj.weight" for layer in (0, 1))

    def swap(tensors: dict[str, torch.Tensor]) -> None:
        tensors[first], tensors[second] = tensors[second], tensors[first]

    edit_weights(hf, swap)
    with pytest.raises(Mismatch, match=r"weights: model\.layers\.0\.self_attn\.q_proj\.weight: \d+ of 1024"):
        check(trained, hf)


def test_a_lost_tensor(trained: Path, hf: Path) -> None:
    edit_weights(hf, lambda tensors: tensors.__delitem__("model.layers.1.mlp.up_proj.weight"))
    with pytest.raises(Mismatch, match=r"weights: model\.layers\.1\.mlp\.up_proj\.weight"):
        check(trained, hf)


@pytest.mark.parametrize("outer", [True, False])
def test_a_changed_rope_theta(trained: Path, hf: Path, outer: bool) -> None:
    def change(config: dict[str, Any]) -> None:
        (config if outer else config["rope_parameters"])["rope_theta"] = 10_000.0

    edit_json(hf / "config.json", change)
    with pytest.raises(Mismatch, match=r"config\.json: rope_.* 10000\.0.* trained .*50000\.0"):
        check(trained, hf)


def test_a_changed_rope_theta_shows_in_the_logits_too(
    trained: Path, hf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit_json(hf / "config.json", lambda config: config["rope_parameters"].update(rope_theta=49_000.0))
    edit_json(hf / "config.json", lambda config: config.update(rope_theta=49_000.0))
    monkeypatch.setattr(verify_module, "compare_configs", lambda *_: 0)
    with pytest.raises(Mismatch, match=r"logits: sequence .* although weights agree"):
        check(trained, hf)


def swap_merges(tokenizer: dict[str, Any]) -> None:
    """Exchange an early merge with the next one of its first symbol, so that other tokens win."""
    merges = tokenizer["model"]["merges"]
    other = next(place for place, merge in enumerate(merges) if place and merge[0] == merges[0][0])
    merges[0], merges[other] = merges[other], merges[0]


def test_a_changed_merge_shows_in_the_ids(trained: Path, hf: Path) -> None:
    edit_json(hf / "tokenizer.json", lambda tokenizer: tokenizer["model"]["merges"].pop(20))
    with pytest.raises(Mismatch, match=r"tokenizer: ids of .* differ at"):
        check(trained, hf)


def test_a_changed_merge_shows_in_the_file(trained: Path, hf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit_json(hf / "tokenizer.json", swap_merges)
    monkeypatch.setattr(verify_module, "compare_tokenizers", lambda *_: 0)
    with pytest.raises(Mismatch, match=r"tokenizer\.json: 'model' is not what was trained"):
        check(trained, hf)


def test_a_tokenizer_that_lowers_letters(trained: Path, hf: Path) -> None:
    def lower(tokenizer: dict[str, Any]) -> None:
        tokenizer["normalizer"] = {"type": "Lowercase"}

    edit_json(hf / "tokenizer.json", lower)
    with pytest.raises(Mismatch, match="tokenizer: ids of"):
        check(trained, hf)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_another_end_token(trained: Path, hf: Path, name: str) -> None:
    edit_json(hf / name, lambda config: config.update(eos_token_id=2))
    with pytest.raises(Mismatch, match=f"{name}: eos_token_id is 2, trained 1"):
        check(trained, hf)


def test_weights_rounded_on_the_way_to_fp32(trained: Path, tmp_path: Path) -> None:
    hf = tmp_path / "hf"
    write_hf_folder(planned().model, "fp32", trained / "train", trained / "tokenizer", hf)
    report = check(trained, hf)
    assert 0 < report["cast_logits_mean_deviation"] < report["cast_logits_mean_deviation_bound"]
    edit_weights(hf, lambda tensors: tensors["model.norm.weight"].mul_(1 + 2**-23))
    with pytest.raises(Mismatch, match=r"weights: model\.norm\.weight: \d+ of 32"):
        check(trained, hf)


def test_a_cast_that_moves_the_logits_too_far(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hf = tmp_path / "hf"
    write_hf_folder(planned().model, "fp32", trained / "train", trained / "tokenizer", hf)
    monkeypatch.setattr(verify_module, "DEVIATION_BOUND", 1e-6)
    with pytest.raises(Mismatch, match="the cast moved them by"):
        check(trained, hf)


def test_the_command_line_says_what_differs(
    trained: Path, hf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = tmp_path / "report.json"
    words = [
        "--train",
        trained / "train",
        "--tokenizer",
        trained / "tokenizer",
        "--hf",
        hf,
        "--report",
        report,
    ]
    monkeypatch.setattr("sys.argv", ["verify", *map(str, words)])
    assert verify_module.main() == 0
    assert json.loads(report.read_text()) == check(trained, hf)
    edit_weights(hf, lambda tensors: tensors["model.norm.weight"].neg_())
    assert verify_module.main() == 1
    assert list(json.loads(report.read_text())) == ["mismatch"]
