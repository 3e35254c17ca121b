from __future__ import annotations

from pathlib import Path

import pytest

from forge.files import link_or_copy, replace_text, sync_tree, work_folder


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


def test_a_second_name_outlives_the_first_and_takes_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("new")
    (tmp_path / "b").write_text("old")
    for _ in range(2):
        link_or_copy(tmp_path / "a", tmp_path / "b")
    (tmp_path / "a").unlink()
    assert (tmp_path / "b").read_text() == "new"


def test_where_there_are_no_links_it_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*names: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    (tmp_path / "a").write_text("x")
    link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "x"


def test_a_work_folder_that_was_given_stays(tmp_path: Path) -> None:
    with work_folder(None, tmp_path) as own:
        assert own.is_dir()
    assert not own.exists()
    with work_folder(tmp_path / "given", tmp_path) as given:
        assert given == tmp_path / "given"
    assert given.is_dir()
