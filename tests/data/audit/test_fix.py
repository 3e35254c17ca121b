"""What an audit finds is what the recipe it writes sets aside and redacts."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from benchmarks.messy_folder import make_folder
from forge.data.audit.audit import audit
from forge.data.audit.fix import fix_spec, use_command
from forge.data.audit.stale import DEAD_LINK, OLDER_VERSION
from forge.data.corpus import build_corpus
from forge.data.lake import build_lake
from forge.data.sensitive import find_values
from forge.progress import SilentProgress
from forge.spec.compose import compose_spec
from tests.data.builders import rows

AS_OF = date(2026, 6, 30)


@dataclass(frozen=True)
class Fixed:
    """An audit, and the corpus made with the recipe it wrote. Documents go by their ids."""

    report: dict[str, Any]
    kinds: tuple[str, ...]
    kept: dict[str, str]
    """Texts."""
    aside: dict[str, str]
    """Steps."""
    redacted: set[str]

    def group(self, documents: list[dict[str, Any]]) -> set[str]:
        return {one["id"] for one in documents}


@pytest.fixture(scope="module")
def fixed(tmp_path_factory: pytest.TempPathFactory) -> Fixed:
    place = tmp_path_factory.mktemp("fixed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        make_folder(Path("my files"), "dev", 4, 0.05)
        report = audit(["my files"], AS_OF, None, SilentProgress())
        recipe = Path("recipes/clean.yaml")
        recipe.parent.mkdir()
        recipe.write_text(fix_spec(report, recipe))
        program, *overrides = shlex.split(use_command(["my files"], recipe))
        assert program == "forge-run"
        spec = compose_spec([*overrides, "hardware=cpu", "data.min_words=1"])
        data = spec.values["data"]
        assert data["path"] == "my files"
        lake, corpus = Path("lake"), Path("corpus")
        lake.mkdir()
        corpus.mkdir()
        wanted = {name: data[name] or {} for name in ("metadata_allow", "max_file_bytes")}
        build_lake([data["path"]], wanted, lake, SilentProgress())
        build_corpus(lake, data | {"seed": 1}, corpus, SilentProgress())
        return Fixed(
            report,
            tuple(data["redact_kinds"]),
            {row["document_id"]: row["text"] for row in rows(corpus / "corpus.parquet")},
            {row["document_id"]: row["step"] for row in rows(corpus / "set_aside.parquet")},
            {row["document_id"] for row in rows(corpus / "changed.parquet") if row["step"] == "redact"},
        )


def test_every_document_is_kept_or_set_aside(fixed: Fixed) -> None:
    assert fixed.kept.keys().isdisjoint(fixed.aside)
    assert len(fixed.kept) + len(fixed.aside) == fixed.report["volume"]["documents"]


def test_of_copies_one_is_left_at_most(fixed: Fixed) -> None:
    exact = [fixed.group(group) for group in fixed.report["duplicates"]["exact"]]
    near = [fixed.group(one["documents"]) for one in fixed.report["duplicates"]["near"]]
    assert exact
    assert near
    assert all(len(group & fixed.kept.keys()) <= 1 for group in [*exact, *near])
    for step, found in (("exact_duplicates", exact), ("near_duplicates", [*exact, *near])):
        dropped = {one for one, why in fixed.aside.items() if why == step}
        assert dropped
        assert dropped <= set().union(*found)


def test_of_a_family_the_newest_is_left(fixed: Fixed) -> None:
    families = fixed.report["versions"]
    assert families
    copies = {one["id"]: fixed.group(group) for group in fixed.report["duplicates"]["exact"] for one in group}
    allowed = set()
    for family in families:
        newest = family["newest"]["id"]
        left = fixed.group(family["members"]) & fixed.kept.keys()
        assert left <= copies.get(newest, {newest})
        allowed |= {
            copy
            for one in fixed.group(family["members"])
            for copy in copies.get(one, {one})
        }  # fmt: skip
    assert {one for one, step in fixed.aside.items() if step == "superseded"} <= allowed


def test_what_says_that_it_is_over_is_gone(fixed: Fixed) -> None:
    found = {
        one["document"]["id"]
        for one in fixed.report["stale"]
        if any(reason["reason"] not in (DEAD_LINK, OLDER_VERSION) for reason in one["reasons"])
    }
    dropped = {one for one, step in fixed.aside.items() if step == "stale"}
    assert dropped
    assert dropped <= found
    assert found.isdisjoint(fixed.kept)


def test_no_value_that_was_found_is_left(fixed: Fixed) -> None:
    places = fixed.report["secrets"]["places"]
    assert {place["kind"] for place in places} == set(fixed.kinds)
    assert {place["document"]["id"] for place in places} - fixed.aside.keys() == fixed.redacted
    assert all(not find_values(text, fixed.kinds) for text in fixed.kept.values())


@pytest.mark.parametrize(
    ("paths", "file", "command"),
    [
        (["docs"], "recipes/clean.yaml", "forge-run +recipe=clean data.path=docs"),
        (["my docs"], "recipes/clean.yaml", """forge-run +recipe=clean 'data.path='"'"'my docs'"'"''"""),
        (["a", "b"], "recipes/x.yaml", "forge-run +recipe=x 'data.path=[a,b]'"),
        (["a"], "/etc/x.yaml", "FORGE_RECIPE_PATH=/etc forge-run +recipe=x data.path=a"),
    ],
)
def test_the_command_is_ready_for_a_shell(paths: list[str], file: str, command: str) -> None:
    assert use_command(paths, Path(file)) == command
