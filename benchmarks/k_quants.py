"""K types as forge writes them, beside llama.cpp's own quantizer: types, bytes and what the file says.

    python -m benchmarks.k_quants

Writes random weights in tiny shapes of every family, among them those in which llama.cpp mixes types in another way,
as f32 and as each K type, has `llama_model_quantize` make the same of the f32 file, and prints where they differ. Needs
`pip install llama-cpp-python`, which is compiled for some minutes. Exit status 1 where something differs.
"""

from __future__ import annotations

import ctypes
import sys
import tempfile
from pathlib import Path
from typing import Any

from gguf import GGUFReader

from forge.export.gguf_file import write_gguf
from forge.export.gguf_types import GGUF_TYPES, K_TYPES
from tests.export.artifacts import (
    MISTRAL,
    MIXTRAL,
    QWEN2,
    QWEN3,
    QWEN3_MOE,
    planned,
    write_model,
    write_tokenizer,
)

SHAPE = {"hidden_size": 256, "intermediate_size": 512, "head_dim": 64, "layers": 9}
SHAPES: dict[str, dict[str, Any]] = {
    "llama": SHAPE,
    "llama, 1 layer": SHAPE | {"layers": 1},
    "llama, 24 layers": SHAPE | {"layers": 24},
    "llama, 80 layers, grouped queries": SHAPE | {"layers": 80},
    "llama, 80 layers": SHAPE | {"layers": 80, "kv_heads": 4},
    "llama, untied": SHAPE | {"tied_embeddings": False},
    "llama, rows of 480": SHAPE | {"intermediate_size": 480},
    "llama, rows of 192 and 328": SHAPE | {"hidden_size": 192, "head_dim": 48, "intermediate_size": 328},
    "mistral": SHAPE | MISTRAL,
    "mixtral, 4 experts": SHAPE | MIXTRAL,
    "mixtral, 8 experts": SHAPE | MIXTRAL | {"experts": 8},
    "qwen2": SHAPE | QWEN2,
    "qwen2, 80 layers": SHAPE | QWEN2 | {"layers": 80},
    "qwen3": QWEN3 | SHAPE,
    "qwen3_moe, 8 experts": QWEN3_MOE | SHAPE | {"experts": 8},
}


def main() -> None:
    """Write both, compare, print."""
    import llama_cpp

    differing = 0
    print(f"{'':<36}{'type':<8}{'tensors':>8}{'types differ':>14}{'bytes differ':>14}{'fields differ':>15}")
    for name, shape in SHAPES.items():
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            model = planned(shape).model
            write_model(folder / "train", model)
            write_tokenizer(folder / "tokenizer")
            plain = folder / "f32.gguf"
            write_gguf(plain, "f32", "random", model, "qwen2", folder / "train", folder / "tokenizer")
            for kind in sorted(K_TYPES):
                ours, theirs = folder / f"{kind}.gguf", folder / f"{kind}-llama.gguf"
                write_gguf(ours, kind, "random", model, "qwen2", folder / "train", folder / "tokenizer")
                parameters = llama_cpp.llama_model_quantize_default_params()
                parameters.ftype, parameters.nthread = GGUF_TYPES[kind].number.value, 1
                status = llama_cpp.llama_model_quantize(
                    str(plain).encode(), str(theirs).encode(), ctypes.byref(parameters)
                )
                assert status == 0
                tensors, *counts = _differences(GGUFReader(ours), GGUFReader(theirs))
                print(f"{name:<36}{kind:<8}{tensors:>8}{counts[0]:>14}{counts[1]:>14}{counts[2]:>15}")
                differing += sum(counts)
    sys.exit(differing > 0)


def _differences(ours: GGUFReader, theirs: GGUFReader) -> tuple[int, int, int, int]:
    """Return how many tensors there are, and how many types, tensors' bytes and fields are not the same."""
    left, right = ({one.name: one for one in reader.tensors} for reader in (ours, theirs))
    assert left.keys() == right.keys()
    types = sum(left[name].tensor_type != right[name].tensor_type for name in left)
    values = sum(left[name].data.tobytes() != right[name].data.tobytes() for name in left)
    said, said_there = (
        {name: field.contents() for name, field in reader.fields.items()} for reader in (ours, theirs)
    )
    fields = sum(said.get(name) != said_there.get(name) for name in said.keys() | said_there.keys())
    return len(left), types, values, fields


if __name__ == "__main__":
    main()
