from __future__ import annotations

from pathlib import Path

import pytest

from forge.files import replace_text, sync_tree


def test_replacing_leaves_the_new_content_and_nothing_beside_it(tmp_path: Path) -> None:
    replace_text(tmp_path / "a", "one")
    replace_text(tmp_path / "a", "zwei ä")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "zwei ä"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_write_that_fails_leaves_the_old_content(tmp_path: Path) -> None:
    replace_text(tmp_path / "a", "one")
    with pytest.raises(UnicodeEncodeError):
        replace_text(tmp_path / "a", "\ud800")
    assert (tmp_path / "a").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_tree_is_brought_to_disk(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a").write_text("x")
    sync_tree(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync_tree(tmp_path / "none")
