"""The Hugging Face folder: weights, config and tokenizer as transformers 4.57 and 5, and servers on top, read them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
import transformers

from forge.export.expressible import read_chat_template
from forge.plan.types import ModelPlan
from forge.quiet import quiet_transformers

TORCH_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}

MAX_SHARD_BYTES = 5_000_000_000
"""Larger models are cut into several files with an index: some file systems and hosts refuse huge ones."""

FILE_MODE = 0o644
FOLDER_MODE = 0o755


def write_hf_folder(model: ModelPlan, dtype: str, train: Path, tokenizer: Path, folder: Path) -> None:
    """Write model and tokenizer files into the new `folder`.

    Args:
        model: what was trained.
        dtype: "bf16" or "fp32", of the written weights.
        train: folder with config.json and model*.safetensors.
        tokenizer: folder with tokenizer.json and tokenizer_config.json.
        folder: does not exist yet.
    """
    folder.mkdir()
    quiet_transformers()
    network = transformers.AutoModelForCausalLM.from_pretrained(
        train, local_files_only=True, dtype=TORCH_DTYPES[dtype]
    )
    network.save_pretrained(folder, max_shard_size=MAX_SHARD_BYTES)
    ids = _write_tokenizer(tokenizer, folder, model.max_sequence_length)
    _amend_config(folder / "config.json", ids)
    # save_pretrained also writes defaults of its own version; a reader needs only where text begins and ends.
    write_json(folder / "generation_config.json", ids | {"transformers_version": transformers.__version__})


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write `content` as indented JSON, UTF-8, with a newline at the end."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def open_to_readers(folder: Path) -> None:
    """Make the folder and its files readable by all: safetensors are created 0600, and a service has its own user."""
    folder.chmod(FOLDER_MODE)
    for path in folder.iterdir():
        path.chmod(FILE_MODE)


def _write_tokenizer(tokenizer: Path, folder: Path, context_tokens: int) -> dict[str, int]:
    """Copy the tokenizer and return the ids of its special tokens as config.json names them."""
    shutil.copyfile(tokenizer / "tokenizer.json", folder / "tokenizer.json")
    config = json.loads((tokenizer / "tokenizer_config.json").read_text(encoding="utf-8"))
    config |= {
        # 5.x would write "TokenizersBackend", which 4.57 does not know.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        # Bytes leave nothing unknown; without this 5.x adds one to the vocabulary of a Qwen2 model.
        "unk_token": None,
        "model_max_length": context_tokens,
        # By default 4.57 adds token_type_ids for this class, and generate() of these models then refuses the batch.
        "model_input_names": ["input_ids", "attention_mask"],
    }
    write_json(folder / "tokenizer_config.json", config)
    if template := read_chat_template(config):
        # 5.x writes and reads this file, 4.57 the key above.
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    added = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    id_of = {token["content"]: token["id"] for token in added}
    return {f"{name}_token_id": id_of[config[f"{name}_token"]] for name in ("bos", "eos", "pad")}


def _amend_config(path: Path, ids: dict[str, int]) -> None:
    config = json.loads(path.read_text(encoding="utf-8"))
    # 4.57 does not read rope_parameters and would fall back to 10000 in silence.
    older = {"rope_theta": config["rope_parameters"]["rope_theta"]}
    if config["model_type"] == "qwen3_moe":
        older["num_experts"] = config["num_local_experts"]  # nor this one's newer name
    write_json(path, config | ids | older)
