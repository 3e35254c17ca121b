from __future__ import annotations

from forge.spec.lineage import MAX_DEPTH, lineage_of
from tests.spec.workspace import Workspace


def test_bases_come_first_and_the_file_itself_last(workspace: Workspace) -> None:
    workspace.write("recipes/a.yaml", "")
    workspace.write("recipes/b.yaml", "defaults:\n  - a\n")
    workspace.write("recipes/c.yaml", "")
    workspace.write("recipes/x.yaml", "defaults:\n  - b\n  - c\n")
    lineage = lineage_of("recipe/x", workspace.search_path())
    assert [file.config_path for file in lineage.files] == ["recipe/a", "recipe/b", "recipe/c", "recipe/x"]
    assert lineage.problems == []
    assert set(lineage.entries) == {"recipe/a", "recipe/b", "recipe/c", "recipe/x"}


def test_an_option_has_a_lineage_too(workspace: Workspace) -> None:
    lineage = lineage_of("hardware/8xh100", workspace.search_path())
    assert [file.config_path for file in lineage.files] == [
        "hardware/local",
        "hardware/_h100",
        "hardware/8xh100",
    ]


def test_what_is_not_there_has_none(workspace: Workspace) -> None:
    lineage = lineage_of("recipe/x", workspace.search_path())
    assert (lineage.files, lineage.entries, lineage.problems) == ([], {}, [])


def test_a_circle_is_cut_where_it_closes(workspace: Workspace) -> None:
    workspace.write("recipes/x.yaml", "defaults:\n  - y\n")
    workspace.write("recipes/y.yaml", "defaults:\n  - x\n")
    lineage = lineage_of("recipe/x", workspace.search_path())
    assert [str(problem) for problem in lineage.problems] == ["recipes/y.yaml:2: extends itself: x -> y -> x"]
    assert lineage.entries["recipe/y"] == []
    assert [file.config_path for file in lineage.files] == ["recipe/y", "recipe/x"]


def _chain(workspace: Workspace, length: int) -> None:
    workspace.write("recipes/r1.yaml", "seed: 1\n")
    for number in range(2, length + 1):
        workspace.write(f"recipes/r{number}.yaml", f"defaults:\n  - r{number - 1}\n")


def test_a_chain_may_be_as_long_as_the_limit_and_no_longer(workspace: Workspace) -> None:
    _chain(workspace, MAX_DEPTH + 1)
    assert workspace.compose(f"recipe=r{MAX_DEPTH}").values["seed"] == 1
    assert workspace.complaints(f"recipe=r{MAX_DEPTH + 1}") == (
        f"recipes/r2.yaml:2: extends more than {MAX_DEPTH} deep: put what is shared into one",
    )
