from __future__ import annotations

from pathlib import Path

from forge.engine.token_checks import tokens_problem
from tests.factories import write_tokens


def test_tokens_as_they_were_written_have_no_problem(tokens: Path) -> None:
    assert tokens_problem(tokens) is None


def test_a_flipped_bit_anywhere_is_named(tmp_path: Path) -> None:
    for name in ("train.bin", "held_out.bin"):
        folder = write_tokens(tmp_path / name)
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 3] ^= 8
        (folder / name).write_bytes(content)
        line = tokens_problem(folder)
        assert line is not None
        assert line.startswith(f"train: {folder / name}: was changed after it was written")


def test_what_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    folder = write_tokens(tmp_path)
    (folder / "held_out.bin").unlink()
    assert "held_out.bin: cannot be read" in str(tokens_problem(folder))
    (folder / "tokens.json").write_text('{"sha256": 3}')
    assert "tokens.json: is damaged" in str(tokens_problem(folder))
