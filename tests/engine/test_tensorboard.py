from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from forge.engine.distributed import Place
from forge.engine.tensorboard import TensorBoardFile, crc32c
from tests.engine.runs import losses, make_run, train_here
from tests.factories import tiny_plan


def unmasked(crc: int) -> int:
    """Undo TensorFlow's masking."""
    rotated = crc - 0xA282EAD8 & 0xFFFFFFFF
    return rotated >> 17 | rotated << 15 & 0xFFFFFFFF


def records(path: Path) -> Iterator[bytes]:
    """Yield the data of each record, its checksums verified."""
    content = path.read_bytes()
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        assert unmasked(struct.unpack("<I", content[8:12])[0]) == crc32c(content[:8])
        data = content[12 : 12 + length]
        assert unmasked(struct.unpack("<I", content[12 + length : 16 + length])[0]) == crc32c(data)
        yield data
        content = content[16 + length :]


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (number, value) of a protobuf message's fields."""

    def varint() -> int:
        nonlocal message
        value = shift = 0
        while True:
            byte, message = message[0], message[1:]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while message:
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
            continue
        size = {1: 8, 5: 4}.get(key & 7) or varint()
        value, message = message[:size], message[size:]
        yield key >> 3, value


def curve(folder: Path, tag: str) -> list[tuple[int, float]]:
    """Return (step, value) of all files of `folder` in order."""
    points = []
    for path in sorted(folder.iterdir()):
        for record in records(path):
            event = dict(fields(record))
            for _, value in fields(event.get(5, b"")):  # type: ignore[arg-type]
                content = dict(fields(value))  # type: ignore[arg-type]
                if content[1] == tag.encode():
                    points.append((event[2], struct.unpack("<f", content[2])[0]))  # type: ignore[arg-type]
    return points  # type: ignore[return-value]


def test_the_checksum_is_that_of_the_standard() -> None:
    # RFC 3720, appendix B.4: 32 bytes of zeros, of ones, and counting up.
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E


def test_what_is_added_is_in_the_file(tmp_path: Path) -> None:
    board = TensorBoardFile(tmp_path, first_step=300)
    board.add(300, {"loss": 2.5, "learning_rate": 0.5})
    board.add(1_000_000, {"loss": 1.25})
    (path,) = tmp_path.iterdir()
    assert ".tfevents." in path.name
    assert curve(tmp_path, "loss") == [(300, 2.5), (1_000_000, 1.25)]
    assert curve(tmp_path, "learning_rate") == [(300, 0.5)]
    first, second, *_ = (dict(fields(record)) for record in records(path))
    assert first[3] == b"brain.Event:2"
    assert (second[2], dict(fields(second[7]))) == (300, {1: 1})  # type: ignore[arg-type]


def test_a_training_leaves_its_curves(tmp_path: Path, tokens: Path, place: Place) -> None:
    plan = tiny_plan(schedule={"evaluate_every_steps": 2})
    run_dir = make_run(tmp_path, plan)
    train_here(plan, tokens, run_dir, place)
    assert [step for step, _ in curve(run_dir / "tensorboard", "held_out_loss")] == [2, 3, 4, 6]
    drawn = curve(run_dir / "tensorboard", "loss")
    assert drawn == [
        (step, struct.unpack("<f", struct.pack("<f", v))[0]) for step, v in losses(run_dir).items()
    ]
