"""The proof of GGUF files, by the real llama.cpp: it passes for every family, and fails where one thing is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFReader

from forge.export import compare_gguf, gguf_file, gguf_tensors, held_out_sequences, verify_gguf
from forge.export.block_quantization import quantize_rows
from forge.export.checksums import write_checksums
from forge.export.gguf_file import write_gguf
from forge.export.llama_server import LlamaServer
from forge.export.mismatch import Mismatch
from forge.plan.types import ModelPlan
from tests.export.artifacts import FAMILIES, FITS_K_TYPES, VOCAB_SIZE, planned, write_model


@pytest.fixture(autouse=True)
def _fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole number of strings and positions is tried once, in test_export_gguf."""
    monkeypatch.setattr(verify_gguf, "RANDOM_STRINGS", 150)
    monkeypatch.setattr(held_out_sequences, "POSITIONS", 30)


def write(folder: Path, kind: str, model: ModelPlan, trained: Path, train: Path, pre: str = "qwen2") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"model-{kind}.gguf"
    path.unlink(missing_ok=True)
    digest = write_gguf(path, kind, "tiny", model, pre, train, trained / "tokenizer")
    write_checksums(folder, {path.name: digest})
    return path


def check(f32: Path, trained: Path, train: Path | None = None, folder: Path | None = None) -> dict[str, Any]:
    return verify_gguf.verify_gguf(
        train or trained / "train",
        trained / "tokenizer",
        trained / "tokens",
        f32,
        folder or f32.parent,
    )


@pytest.fixture
def f32(trained: Path, tmp_path: Path) -> Path:
    """A good file, to be damaged."""
    return write(tmp_path / "f32", "f32", planned().model, trained, trained / "train")


@pytest.mark.parametrize("shape", FAMILIES)
def test_every_family_is_proven(trained: Path, tmp_path: Path, shape: Mapping[str, Any]) -> None:
    model = planned(shape).model
    train = tmp_path / "train"
    write_model(train, model, torch.float32)
    if shape.get("family") == "qwen2":
        randomize_biases(train)
    f32 = write(tmp_path / "f32", "f32", model, trained, train)
    write(tmp_path / "gguf", "q8_0", model, trained, train)
    report = check(f32, trained, train, tmp_path / "gguf")
    assert report["f32_log_probability_max_abs_difference"] < 1e-4
    assert report["tensors_equal"] == len(GGUFReader(f32).tensors)
    (quantized,) = report["files"].values()
    assert quantized["held_out_positions"] >= 30
    assert quantized["held_out_nll_delta_nats_per_token"] != 0.0


def randomize_biases(train: Path) -> None:
    """Transformers starts biases at zero, where a lost one would not show."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(train / "model.safetensors")
    source = torch.Generator().manual_seed(0)
    for name, tensor in tensors.items():
        if name.endswith(".bias"):
            tensor.copy_(torch.randn(tensor.shape, generator=source))
    save_file(tensors, train / "model.safetensors", metadata={"format": "pt"})


def test_rows_of_q_and_k_left_as_they_are(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf_tensors, "interleave_halves", lambda rows, head_rows: rows)
    f32 = write(tmp_path / "f32", "f32", planned().model, trained, trained / "train")
    with pytest.raises(Mismatch, match=r"blk\.0\.attn_[qk]\.weight: \d+ of \d+ values differ"):
        check(f32, trained)
    monkeypatch.setattr(verify_gguf, "compare_gguf_tensors", lambda *_: 0)
    with pytest.raises(Mismatch, match=r"log-probabilities after \d+ tokens differ by"):
        check(f32, trained)


@pytest.mark.parametrize("name", ["default", "gpt-2"])
def test_another_pre_tokenizer(trained: Path, tmp_path: Path, name: str) -> None:
    f32 = write(tmp_path / "f32", "f32", planned().model, trained, trained / "train", name)
    with pytest.raises(Mismatch, match=r"llama\.cpp: ids of "):
        check(f32, trained)


@pytest.mark.parametrize("place", [0.0, 0.3, 0.7, 1.0])
def test_a_flipped_byte(trained: Path, f32: Path, place: float) -> None:
    content = bytearray(f32.read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    f32.write_bytes(content)
    with pytest.raises(Mismatch, match=r"^model-f32\.gguf: its bytes are not those that were written$"):
        check(f32, trained)


@pytest.mark.parametrize("kind", ["f16", "bf16", "q8_0"])
def test_a_value_flipped_before_it_was_hashed(trained: Path, tmp_path: Path, f32: Path, kind: str) -> None:
    path = write(tmp_path / "gguf", kind, planned().model, trained, trained / "train")
    offset = next(int(t.data_offset) for t in GGUFReader(path).tensors if t.name == "blk.1.ffn_up.weight")
    content = bytearray(path.read_bytes())
    content[offset + 7] ^= 64
    path.write_bytes(content)
    write_checksums(path.parent)
    with pytest.raises(
        Mismatch, match=rf"model-{kind}\.gguf: blk\.1\.ffn_up\.weight: 1 of 2048 values differ"
    ):
        check(f32, trained, folder=path.parent)


@pytest.mark.parametrize("kind", ["q4_k_m", "q5_k_m", "q6_k"])
def test_k_types_are_proven_and_a_wrong_step_in_them_is_seen(
    trained: Path, tmp_path: Path, kind: str
) -> None:
    model = planned(FITS_K_TYPES).model
    write_model(tmp_path / "train", model)
    f32 = write(tmp_path / "f32", "f32", model, trained, tmp_path / "train")
    path = write(tmp_path / "gguf", kind, model, trained, tmp_path / "train")
    (file,) = check(f32, trained, tmp_path / "train", path.parent)["files"].values()
    assert 0 < abs(file["held_out_nll_delta_nats_per_token"]) < verify_gguf.K_NLL_BOUND_NATS
    assert 0 <= file["greedy_same_choice_fraction"] <= 1

    content = bytearray(path.read_bytes())
    wanted = next(t for t in GGUFReader(path).tensors if t.name == "blk.0.attn_q.weight")
    content[int(wanted.data_offset) + 100] ^= 1
    path.write_bytes(content)
    write_checksums(path.parent)
    with pytest.raises(Mismatch, match=rf"model-{kind}\.gguf: blk\.0\.attn_q\.weight: 256 of 65536 values"):
        check(f32, trained, tmp_path / "train", path.parent)


def test_a_rounding_that_is_none_is_seen(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What writes the file and what it is held against are one function: another reader must see that it is wrong."""
    model = planned(FITS_K_TYPES).model
    write_model(tmp_path / "train", model)
    f32 = write(tmp_path / "f32", "f32", model, trained, tmp_path / "train")
    right = quantize_rows

    def wrong(rows: Any, kind: Any) -> Any:
        return right(rows[:, ::-1] if kind.name == "Q4_K" else rows, kind)

    monkeypatch.setattr(gguf_file, "quantize_rows", wrong)
    monkeypatch.setattr(compare_gguf, "quantize_rows", wrong)
    path = write(tmp_path / "gguf", "q4_k_m", model, trained, tmp_path / "train")
    with pytest.raises(Mismatch, match=r"model-q4_k_m\.gguf: .* values differ"):
        check(f32, trained, tmp_path / "train", path.parent)


def test_a_large_vocabulary(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_out_sequences, "POSITIONS", 60)
    model = planned({"vocab_size": 32_768, "initializer_std": 0.1}).model
    write_model(tmp_path / "train", model)
    f32 = write(tmp_path / "f32", "f32", model, trained, tmp_path / "train")
    report = check(f32, trained, tmp_path / "train")
    assert report["positions_compared"] > report["positions_compared_in_all_tokens"] == 6
    assert report["likeliest_tokens_compared_elsewhere"] == 1_024
    assert abs(report["files"]["model-f32.gguf"]["held_out_nll_delta_nats_per_token"]) < 1e-5

    monkeypatch.setattr(gguf_tensors, "interleave_halves", lambda rows, head_rows: rows)
    f32 = write(tmp_path / "f32", "f32", model, trained, tmp_path / "train")
    monkeypatch.setattr(verify_gguf, "compare_gguf_tensors", lambda *_: 0)
    monkeypatch.setattr(verify_gguf, "COMPARED_LOG_PROBABILITIES", 0)
    monkeypatch.setattr(verify_gguf, "probe_sequences", lambda *_: [[5, 6, 7, 8], [0]])
    with pytest.raises(Mismatch, match=r"log-probabilities after 4 tokens differ by"):
        check(f32, trained, tmp_path / "train")


def test_the_probability_of_any_token_is_asked_for_by_itself(f32: Path) -> None:
    server, before = LlamaServer(f32, 32), [0, 5, 77, 300]
    everything = server.next_log_probabilities(before, VOCAB_SIZE)
    likeliest = max(everything, key=lambda number: everything[number])
    for token in range(VOCAB_SIZE):  # among them the ends of a text, and bytes that are parts of characters
        number, log_probability = server.likeliest_and(before, token, VOCAB_SIZE)
        assert number == likeliest
        assert log_probability == pytest.approx(everything[token], abs=1e-5)


def test_another_rope_theta(trained: Path, tmp_path: Path) -> None:
    model = replace(planned().model, rope_theta=10_000.0)
    f32 = write(tmp_path / "f32", "f32", model, trained, trained / "train")
    with pytest.raises(Mismatch, match="log-probabilities after"):
        check(f32, trained)


def test_a_file_of_another_model(trained: Path, tmp_path: Path, f32: Path) -> None:
    write_model(tmp_path / "other", planned().model, seed=5)
    path = write(tmp_path / "gguf", "f16", planned().model, trained, tmp_path / "other")
    with pytest.raises(Mismatch, match=r"model-f16\.gguf: .* values differ"):
        check(f32, trained, folder=path.parent)


def test_a_file_with_another_context(trained: Path, tmp_path: Path, f32: Path) -> None:
    path = write(
        tmp_path / "gguf",
        "f16",
        replace(planned().model, max_sequence_length=32),
        trained,
        trained / "train",
    )
    with pytest.raises(Mismatch, match=r"model-f16\.gguf: llama\.context_length is not that of"):
        check(f32, trained, folder=path.parent)


def test_rows_that_no_block_fits_stay_in_half_precision(trained: Path, tmp_path: Path) -> None:
    model = planned({"intermediate_size": 48}).model
    write_model(tmp_path / "train", model)
    path = write(tmp_path / "gguf", "q8_0", model, trained, tmp_path / "train")
    types = {tensor.name: tensor.tensor_type.name for tensor in GGUFReader(path).tensors}
    assert types["blk.0.ffn_down.weight"] == "F16"
    assert types["blk.0.ffn_up.weight"] == "Q8_0"
    assert types["blk.0.attn_norm.weight"] == "F32"


def test_pieces_make_the_same_file(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = write(tmp_path / "whole", "q8_0", planned().model, trained, trained / "train")
    monkeypatch.setattr(gguf_tensors, "CHUNK_VALUES", 100)
    pieces = write(tmp_path / "pieces", "q8_0", planned().model, trained, trained / "train")
    assert whole.read_bytes() == pieces.read_bytes()


def test_interleaving_is_what_the_reader_undoes() -> None:
    rows = np.arange(16, dtype=np.float32).reshape(8, 2)
    assert gguf_tensors.interleave_halves(rows, 4)[:, 0].tolist() == [0, 4, 2, 6, 8, 12, 10, 14]
