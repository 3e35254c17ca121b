from __future__ import annotations

from pathlib import Path

import pytest

from forge.engine.token_checks import token_facts, tokens_problem
from forge.errors import StageError
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


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read"),
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"vocab_size": 9}', "is damaged"),
    ],
)
def test_facts_that_are_missing_or_damaged_are_refused(
    content: str | None, reason: str, tmp_path: Path
) -> None:
    folder = write_tokens(tmp_path)
    assert token_facts(folder)["train_tokens"] == 4_000
    (folder / "tokens.json").unlink()
    if content is not None:
        (folder / "tokens.json").write_text(content)
    with pytest.raises(StageError, match=rf"^train: .*tokens\.json: {reason}.*: delete this folder"):
        token_facts(folder)
