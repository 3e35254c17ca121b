"""Two config.json: the same network in the words of every reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import transformers
from tokenizers import Tokenizer

from forge.export.mismatch import Mismatch

FREE_KEYS = {"architectures", "dtype", "transformers_version", "_name_or_path"}
"""What an export may change: its own dtype, and what wrote it. A wrong architecture shows in the weights."""

TOKEN_ROLES = ("bos", "eos", "pad")


def compare_configs(train: Path, hf: Path, tokenizer: Tokenizer) -> int:
    """Return how many keys of the exported config.json agree with the trained one, defaults filled in on both sides.

    Special token ids are held against the tokenizer, here and in generation_config.json. `rope_theta` is there twice,
    since transformers 4.57 reads the outer one and 5 the one in `rope_parameters`: both must be the trained value.

    Raises:
        Mismatch: names the first key that differs.
    """
    trained, exported = _config(train), _config(hf)
    words, generation = _read(hf / "tokenizer_config.json"), _read(hf / "generation_config.json")
    for role in TOKEN_ROLES:
        key = f"{role}_token_id"
        trained[key] = tokenizer.token_to_id(str(words.get(f"{role}_token")))
        if generation.get(key) != trained[key]:
            raise Mismatch(f"generation_config.json: {key} is {generation.get(key)}, trained {trained[key]}")
    trained["rope_theta"] = trained["rope_parameters"]["rope_theta"]
    # From the file, not from the loaded config: transformers may reconcile the two before we see them.
    as_written = _read(hf / "config.json")
    exported |= {key: as_written.get(key) for key in ("rope_theta", "rope_parameters")}
    keys = sorted((set(trained) | set(exported)) - FREE_KEYS)
    for key in keys:
        if exported.get(key) != trained.get(key):
            raise Mismatch(f"config.json: {key} is {exported.get(key)}, trained {trained.get(key)}")
    return len(keys)


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = transformers.AutoConfig.from_pretrained(folder, local_files_only=True).to_dict()
    return config


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
