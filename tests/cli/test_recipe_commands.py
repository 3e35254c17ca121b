"""`forge recipe list, show, diff, new`, each by the command line, all in this process."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from forge.cli.program import run_forge

Forge = Callable[..., tuple[int, str, list[str]]]


@pytest.fixture
def forge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Forge]:
    """Runs `forge recipe WORDS`; returns its status, what it prints, and the lines it complains in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FORGE_RECIPE_PATH", raising=False)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}

    def run(*words: str) -> tuple[int, str, list[str]]:
        status = run_forge(["recipe", *words])
        said = capsys.readouterr()
        return status, said.out, said.err.splitlines()

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_list_is_one_line_a_recipe_when_it_is_piped(forge: Forge, tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "ours.yaml").write_text(f"# For {'a house of many words ' * 8}: x\nseed: 1\n")
    status, out, complaints = forge("list")
    assert (status, complaints) == (0, [])
    lines = out.splitlines()
    assert lines[0].split() == ["recipe", "from", "for"]
    (ours,) = [line for line in lines if line.startswith("ours ")]
    assert len(ours) > 150
    assert {line.index(word) for line, word in zip(lines, ["from", *["forge"] * 10], strict=False)} == {
        lines[0].index("from")
    }
    assert lines == [line.rstrip() for line in lines]


def test_show_says_whom_it_is_for_who_set_what_and_what_it_takes(forge: Forge) -> None:
    status, out, complaints = forge("show", "legal_7b_long", "hardware=8xh100", "train.tokens=20_000_000_000")
    assert status == 0
    assert out.startswith(
        "legal_7b_long: recipes/legal_7b_long.yaml, extends legal_7b, legal_125m\nFor whoever asks "
    )
    for line in (
        "  sequence_length: 32768                          # recipes/legal_7b_long.yaml:11",
        "  tokens: 20000000000                             # command line",
        "  learning_rate: 0.0003                           # recipes/legal_7b.yaml:15",
        "hardware:                                         # 8xh100, command line",
    ):
        assert f"\n{line}\n" in out
    assert "\ncost      $" in out
    assert "\nmemory a GPU " in out
    assert complaints[0].startswith("note: conf/data/folder.yaml:2: data.path: say where your documents are")


def test_what_does_not_fit_is_shown_all_the_same(forge: Forge) -> None:
    status, out, complaints = forge("show", "legal_7b", "hardware=1xl40s")
    assert status == 3
    assert "# recipes/legal_7b.yaml:" in out
    assert complaints[0].startswith("hardware=1xl40s: a model of 6.7B parameters")


def test_diff_is_by_meaning(forge: Forge, tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "same.yaml").write_text("# Other words.\ndefaults: [legal_125m]\nseed: 1234\n")
    assert forge("diff", "legal_125m", "same", "hardware=1xh100")[1].endswith("\nthe same plan\n")
    status, out, complaints = forge("diff", "legal_125m", "legal_1b", "hardware=1xh100")
    assert (status, complaints) == (0, [])
    asked = out.partition("decided")[0]
    assert "train.tokens" in asked
    assert "train.weight_decay" not in out
    assert "wall-clock time" in out


def test_what_does_not_fit_is_compared_by_what_is_asked(forge: Forge) -> None:
    status, out, complaints = forge("diff", "legal_7b", "code_7b", "hardware=cpu")
    assert status == 0
    assert complaints[0].startswith("note: legal_7b: hardware=cpu: a model of 6.7B parameters")
    assert complaints[1].startswith("note: compared by what is asked alone: hardware=cpu does not fit")
    assert "\nasked\n" in out
    assert "data.min_alphabetic_fraction" in out
    assert "decided" not in out
    assert forge("diff", "legal_7b", "legal_7b", "hardware=cpu")[1].endswith("\nthe same spec\n")


def test_long_values_stay_on_the_screen(forge: Forge) -> None:
    _, out, _ = forge("diff", "legal_1b", "code_1b", "hardware=8xh100")
    assert "'This Agreement shall be governed by'," in out
    assert max(map(len, out.splitlines())) < 140


def test_new_says_what_comes_next(forge: Forge, tmp_path: Path) -> None:
    status, out, complaints = forge("new", "ours", "--from", "legal_tiny")
    assert (status, complaints) == (0, [])
    assert out == "written to recipes/ours.yaml: edit it, then: forge plan recipe=ours\n"
    assert "\nours " in forge("list")[1]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["new", "ours"], "command line: --from: is missing: forge recipe new ... --from RECIPE"),
        (["new"], "command line: NAME: is missing: forge recipe new NAME"),
        (["show"], "command line: RECIPE: is missing: forge recipe show RECIPE"),
        (
            ["show", "legl_1b"],
            "command line: recipe=legl_1b: there is no recipe 'legl_1b'. did you mean legal_1b?",
        ),
        (
            ["show", "legal_1b.yaml"],
            "command line: recipe=legal_1b.yaml: a recipe is named without its folder and .yaml: legal_1b",
        ),
        (["show", "legal_1b", "--jsn"], "command line: --jsn: no such option."),
        (
            ["diff", "legal_tiny", "legal_tinny", "hardware=cpu"],
            "command line: recipe=legal_tinny: there is no recipe 'legal_tinny'. did you mean legal_tiny?",
        ),
        (["lst"], "command line: lst: no such command. did you mean list?"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], line: str, forge: Forge, tmp_path: Path) -> None:
    assert forge(*words) == (2, "", [line])
    assert not (tmp_path / "recipes").exists()


def test_a_recipe_may_be_named_as_an_override(forge: Forge) -> None:
    assert forge("show", "+recipe=legal_125m", "hardware=1xh100")[1].startswith(
        "legal_125m: recipes/legal_125m.yaml\n"
    )


def test_a_folder_named_like_markup_is_shown_as_it_is_named(forge: Forge, tmp_path: Path) -> None:
    (tmp_path / "[/x]").mkdir(parents=True)
    (tmp_path / "[/x]" / "a.txt").write_text("some words")
    phases = "train.phases=[{fraction: 1, source_weights: [1]}]"
    status, out, _ = forge("show", "legal_tiny", "hardware=cpu", 'data.path="[/x]"', phases)
    assert status == 0
    assert ": [/x] × 1\n" in out
