from __future__ import annotations

import io

from rich.console import Console

from forge.cli.compiling import Compiled, compile_overrides
from forge.cli.plan_view import plan_screen
from tests.plan.specs import LAPTOP


def _compiled(*overrides: str) -> Compiled:
    return compile_overrides(overrides, LAPTOP, needs_data=False)


def _shown(*overrides: str, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    plan_screen(_compiled(*overrides), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_cpu_has_no_mfu_and_small_memory_is_in_mebibytes() -> None:
    shown = _shown("+recipe=legal_tiny", "hardware=cpu")
    assert "MFU" not in shown
    assert "one process on the CPU, 2 threads\n" in "\n".join(line.rstrip() for line in shown.splitlines())
    assert "MiB" in shown.split("\n\n")[2]


def test_both_places_that_name_the_duration_name_the_same() -> None:
    lines = _shown("+recipe=legal_7b", "hardware=8xh100", "train.checkpoint_every_steps=1").splitlines()
    header = next(line for line in lines if line.startswith("time "))
    above = next(line for line in lines if line.startswith("as above"))
    cost = next(line for line in lines if line.startswith("cost "))
    duration = header.removeprefix("time").strip().partition(" ±")[0]
    assert duration in above
    assert cost.removeprefix("cost").strip().partition(" ±")[0] in above


def test_checkpoints_far_from_the_best_interval_say_so_and_others_do_not() -> None:
    spec = ("+recipe=legal_7b", "hardware=8xh100")
    assert "best every" in _shown(*spec, "train.checkpoint_every_steps=1", width=200)
    assert "best every" not in _shown(*spec, width=200)


def test_no_two_layouts_are_shown_with_the_same_figures() -> None:
    shown = _shown("+recipe=legal_125m", "hardware=1xh100", width=200)
    table = shown.partition("the best of ")[2].partition("does not fit")[0].splitlines()[1:]
    figures = [tuple(line.split()[-5:]) for line in table if line.strip()]
    assert len(set(figures)) == len(figures) > 1
