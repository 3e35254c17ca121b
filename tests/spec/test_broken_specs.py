"""Every mistake is one line that says where, what, and what to do; never a traceback, never Hydra's advice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.spec.text_cases import Case, cases_in
from tests.spec.workspace import Workspace

CASES = cases_in(Path(__file__).parent / "broken")


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_broken_spec_says_exactly(case: Case, workspace: Workspace) -> None:
    for name, content in case.files.items():
        workspace.write(name, content)
    assert list(workspace.complaints(*case.overrides)) == case.says


def test_there_are_many_and_no_two_alike() -> None:
    assert len(CASES) >= 80
    assert len({case.name for case in CASES}) == len(CASES)
    assert len({(str(case.files), *case.overrides) for case in CASES}) == len(CASES)


def test_every_case_says_something_of_its_own() -> None:
    for case in CASES:
        assert case.says, case.name
        for line in case.says:
            assert line.startswith(("recipes/", "conf/", "my_conf/", "command line: ")), line
            assert len(line) < 400, line
            for advice in ("Traceback", "hydra.cc", "To append", "Did you mean", "Exception", "Error "):
                assert advice not in line, line


def test_the_lines_of_a_case_are_sorted_by_place() -> None:
    for case in CASES:
        places = []
        for line in case.says:
            where, _, rest = line.partition(":")
            at = rest.partition(":")[0]
            places.append((where, int(at) if at.isdigit() else 0))
        assert places == sorted(places), case.name
