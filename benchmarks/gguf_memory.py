"""Memory that writing a GGUF file takes, beside the size of the largest tensor.

    python -m benchmarks.gguf_memory [--model llama_1b] [--type q8_0] [--folder /scratch]

Writes a folder of random weights in the shape of a shipped model, then the GGUF file of it in a process of its own,
and prints that process's peak resident memory. The target is twice the largest tensor as it lies on disk, and 200 MB.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from forge.export.gguf_types import GGUF_TYPES
from forge.plan.model import plan_model
from forge.plan.tensors import stored_tensors
from forge.plan.types import ModelPlan
from forge.spec.compose import compose_spec

TARGET_MORE_BYTES = 200_000_000
BF16_BYTES = 2
BLOCK_VALUES = 4_000_037
"""Prime: the block begins elsewhere in each row."""
VOCAB_SIZE, SEQUENCE_LENGTH = 32_768, 2_048

WRITE = """
import json, re, sys
from pathlib import Path
from forge.export.gguf_file import write_gguf
from forge.plan.types import ModelPlan
model, kind, folder = ModelPlan(**json.loads(sys.argv[1])), sys.argv[2], Path(sys.argv[3])
# Not getrusage: what it gives starts from the process that started this one.
peak_kib = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak_kib()
write_gguf(folder / "model.gguf", kind, "random", model, "qwen2", folder, folder)
print(before * 1024, peak_kib() * 1024)
"""


def main() -> None:
    """Write, convert, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="llama_1b", help="an option of conf/model")
    parser.add_argument("--type", default="q8_0", choices=tuple(GGUF_TYPES))
    parser.add_argument(
        "--folder", type=Path, help="where the files lie until the end; as large as the model"
    )
    given = parser.parse_args()
    spec = compose_spec([f"model={given.model}"]).values
    model = plan_model(spec["model"], VOCAB_SIZE, SEQUENCE_LENGTH)
    with tempfile.TemporaryDirectory(dir=given.folder) as scratch:
        folder = Path(scratch)
        largest_bytes = _write_weights(model, folder / "model.safetensors")
        _write_tokenizer(model, folder)
        words = [json.dumps(asdict(model)), given.type, str(folder)]
        began_s = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", WRITE, *words], capture_output=True, text=True, check=True
        )
        took_s = time.monotonic() - began_s
        file_bytes = (folder / "model.gguf").stat().st_size
    before_bytes, peak_bytes = map(int, done.stdout.split())
    target_bytes = 2 * largest_bytes + TARGET_MORE_BYTES
    print(f"{given.model}, {model.parameters:,} parameters in bf16, written as {given.type}")
    for name, size_bytes in (
        ("file", file_bytes),
        ("largest tensor", largest_bytes),
        ("peak resident memory", peak_bytes),
        ("  of it before the first tensor", before_bytes),
        ("target", target_bytes),
    ):
        print(f"{name:<34}{size_bytes / 1e6:>10,.0f} MB")
    print(f"{'wall time':<34}{took_s:>10,.1f} s")
    sys.exit(peak_bytes > target_bytes)


def _write_weights(model: ModelPlan, path: Path) -> int:
    """Write random bf16 weights, the same block over and over, and return the bytes of the largest tensor."""
    shapes = stored_tensors(model)
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + BF16_BYTES * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    values = np.random.default_rng(0).standard_normal(BLOCK_VALUES, dtype=np.float32)
    block = (values.view(np.uint32) >> 16).astype(np.uint16)
    with path.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for shape in shapes.values():
            count = math.prod(shape)
            for first in range(0, count, BLOCK_VALUES):
                stream.write(block[: min(BLOCK_VALUES, count - first)].tobytes())
    return BF16_BYTES * max(map(math.prod, shapes.values()))


def _write_tokenizer(model: ModelPlan, folder: Path) -> None:
    """Write a tokenizer of as many tokens, which need not cut any text."""
    special = ("<|bos|>", "<|eos|>", "<|pad|>")
    tokens = [*special, *(f"t{number}" for number in range(len(special), model.vocab_size))]
    content = {
        "model": {"type": "BPE", "vocab": {token: n for n, token in enumerate(tokens)}, "merges": []},
        "added_tokens": [
            {
                "id": number,
                "content": token,
                "special": True,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
            }
            for number, token in enumerate(special)
        ],
    }
    (folder / "tokenizer.json").write_text(json.dumps({"version": "1.0", **content}))
    config = {f"{role}_token": token for role, token in zip(("bos", "eos", "pad"), special, strict=True)}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


if __name__ == "__main__":
    main()
