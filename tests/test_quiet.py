from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import transformers

LOAD = """
import sys, transformers
from forge.quiet import quiet_transformers
quiet_transformers()
transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1], local_files_only=True).save_pretrained(sys.argv[2])
"""


def test_loading_and_writing_a_model_says_nothing(tmp_path: Path) -> None:
    config = transformers.LlamaConfig(
        hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=64
    )
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path / "model")
    command = [sys.executable, "-c", LOAD, str(tmp_path / "model"), str(tmp_path / "copy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    # Where torchao is installed (the extra `fp8`), transformers imports it, and it and torch warn.
    assert (done.stdout, done.stderr) == ("", "")
