"""What safetensors files say they hold: their headers, without reading a weight.

A file is 8 bytes (little-endian length of the header), the header in JSON, and the tensors' bytes one after another.
"""

from __future__ import annotations

import json
from pathlib import Path

from forge.errors import SpecError

MAX_HEADER_BYTES = 100_000_000
"""What safetensors itself accepts."""

WIDTH_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
"""Of the types that weights are kept in; others are quantized, and can't be trained on."""


def stored_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor in `folder`/*.safetensors, by name.

    Raises:
        SpecError: there is none, or a file is damaged, cut short, or in a type that cannot be trained on.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise _problem(
            folder, "has no *.safetensors: save the model as safetensors (pickled weights are never read)"
        )
    shapes: dict[str, tuple[int, ...]] = {}
    for file in files:
        for name, shape in _file_shapes(file).items():
            if name in shapes:
                raise _problem(file, f"holds {name}, which another file of the folder holds too: remove one")
            shapes[name] = shape
    return shapes


def _file_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    damaged = "is not a whole safetensors file: copy it again"
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
                raise _problem(file, damaged)
            header = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        shapes = {}
        for name, entry in header.items():
            first, end = entry["data_offsets"]
            shape = tuple(int(extent) for extent in entry["shape"])
            width = WIDTH_BYTES.get(entry["dtype"])
            if width is None:
                raise _problem(
                    file,
                    f"{name} is kept as {entry['dtype']}: give weights in {', '.join(WIDTH_BYTES)}",
                )
            elements = 1
            for extent in shape:
                elements *= extent
            if not 0 <= first <= end <= size - 8 - length or end - first != elements * width:
                raise _problem(file, damaged)
            shapes[name] = shape
    except OSError as error:
        raise _problem(file, f"cannot be read ({error.strerror}): give a folder you may read") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _problem(file, damaged) from None
    return shapes


def _problem(where: Path, message: str) -> SpecError:
    return SpecError(f"model.init_from: {where}: {message}")
