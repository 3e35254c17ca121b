from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.data.journal import JournalledFile

BLOCKS = [b"one", b"", b"three" * 100, b"\0\n"]


def write(path: Path, blocks: list[bytes]) -> list[int]:
    """Go on with a file where an earlier call stopped; return the blocks that were there."""
    with JournalledFile(path) as file:
        there = list(file.noted)
        for number, block in enumerate(blocks):
            if number >= len(there):
                file.append(block, number)
    return there


def test_what_is_finished_is_found_again(tmp_path: Path) -> None:
    assert write(tmp_path / "a", BLOCKS[:2]) == []
    assert write(tmp_path / "a", BLOCKS) == [0, 1]
    assert write(tmp_path / "a", BLOCKS) == [0, 1, 2, 3]
    assert (tmp_path / "a").read_bytes() == b"".join(BLOCKS)


@given(st.data())
def test_wherever_it_was_cut_the_bytes_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("journal") / "a"
    write(path, BLOCKS)
    for one in (path, path.with_name("a.journal")):
        content = one.read_bytes()
        one.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    write(path, BLOCKS)
    assert path.read_bytes() == b"".join(BLOCKS)
    assert write(path, BLOCKS) == [0, 1, 2, 3]


def test_a_damaged_block_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write(path, BLOCKS)
    content = bytearray(path.read_bytes())
    content[10] ^= 1
    path.write_bytes(content)
    assert write(path, BLOCKS) == [0, 1]
    assert path.read_bytes() == b"".join(BLOCKS)
