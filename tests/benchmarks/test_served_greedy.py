"""What compares servers with transformers, on a server that is right and on one of other weights."""

from __future__ import annotations

from pathlib import Path

from benchmarks.served_greedy import PROMPTS, compare
from forge.export.gguf_file import write_gguf
from forge.export.hf_folder import write_hf_folder
from forge.export.llama_server import LlamaServer
from tests.export.artifacts import planned, write_model, write_tokenizer


def test_a_server_agrees_with_transformers_on_every_prompt_or_does_not(tmp_path: Path) -> None:
    model = planned({"initializer_std": 0.2}).model
    write_tokenizer(tmp_path / "tokenizer")
    servers = []
    for seed in (0, 1):
        train = tmp_path / f"train-{seed}"
        write_model(train, model, seed=seed)
        path = tmp_path / f"{seed}.gguf"
        write_gguf(path, "f32", "tiny", model, "qwen2", train, tmp_path / "tokenizer")
        servers.append(LlamaServer(path, model.max_sequence_length))
    write_hf_folder(model, "fp32", tmp_path / "train-0", tmp_path / "tokenizer", tmp_path / "hf")
    right, wrong = (compare(tmp_path / "hf", f"{server.address}/v1", "any") for server in servers)
    assert len(right) == PROMPTS
    assert all(pair.here == pair.served for pair in right)
    assert any(pair.here for pair in right)
    assert sum(pair.here == pair.served for pair in wrong) < PROMPTS / 2
