"""The demonstration as a whole, with a company of a few products and a model of a few thousand parameters."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = [
    "hardware=cpu",
    "hardware.threads_per_process=1",
    "tokenizer.vocab_size=320",
    "model.layers=1",
    "model.hidden_size=32",
    "model.attention_heads=2",
    "model.kv_heads=1",
    "model.intermediate_size=64",
    "train.tokens=null",
    "train.steps=20",
]


@pytest.mark.soak
def test_a_company_is_learnt_asked_served_and_asked_again(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.proof", "--folder", str(tmp_path), "--scale", "0.1", *SMALL]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "cannot be written" not in done.stderr
    table = done.stdout.partition("questions: share")[2]
    for kind in ("asked in training", "stated, not asked", "not in training", "unknown, far name"):
        assert kind in table
    assert "recited word for word" in table
    _, _, asked = done.stdout.partition("asked of llama.cpp")
    assert len(re.findall(r"true: ", asked)) == 10
    assert asked.rstrip().endswith("of 10 replies are those of the trained model")


@pytest.mark.soak
def test_a_mistake_in_the_overrides_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.proof", "--folder", str(tmp_path), "--scale", "0.1"]
    done = subprocess.run([*command, "train.steps=0"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "train.steps" in done.stderr
    assert "Traceback" not in done.stderr
