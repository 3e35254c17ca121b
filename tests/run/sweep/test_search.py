"""What a search tries next, and which runs it ends early."""

from __future__ import annotations

import pytest

from forge.run.sweep.search import Search, Trial
from forge.spec.search_space import Axis

pytest.importorskip("optuna")

AXES = [
    Axis("train.learning_rate", low=1e-4, high=1e-1, is_log=True),
    Axis("model", ("llama_3m", "llama_25m")),
    Axis("model.layers", low=2, high=8, step=2, is_whole=True),
]


def badness(chosen: dict[str, str]) -> float:
    rate = float(chosen["train.learning_rate"])
    return abs(rate - 0.01) * 100 + (chosen["model"] == "llama_3m") + abs(int(chosen["model.layers"]) - 4)


def tried(search: Search, count: int) -> list[Trial]:
    trials: list[Trial] = []
    for _ in range(count):
        chosen = search.next(trials)
        trials.append(Trial(chosen, "done", badness(chosen)))
    return trials


def test_the_same_trials_lead_to_the_same_next_one() -> None:
    search = Search(AXES, seed=7)
    trials = tried(search, 14)
    assert tried(search, 14) == trials
    assert search.next(trials[:12]) == trials[12].chosen
    assert tried(Search(AXES, seed=8), 2) != trials[:2]


def test_values_are_of_their_axes_and_can_be_read() -> None:
    for trial in tried(Search(AXES, seed=7), 12):
        rate = trial.chosen["train.learning_rate"]
        assert 1e-4 <= float(rate) <= 1e-1
        assert len(rate.replace(".", "").lstrip("0").partition("e")[0]) <= 4
        assert trial.chosen["model"] in ("llama_3m", "llama_25m")
        assert trial.chosen["model.layers"] in ("2", "4", "6", "8")


def mean(trials: list[Trial]) -> float:
    return sum(trial.value or 0.0 for trial in trials) / len(trials)


def test_what_came_before_is_learnt_from() -> None:
    trials = tried(Search(AXES, seed=1), 40)
    assert mean(trials[10:]) < mean(trials[:10]) / 2


def test_higher_can_be_better() -> None:
    search = Search(AXES, seed=1, higher_is_better=True)
    trials: list[Trial] = []
    for _ in range(40):
        chosen = search.next(trials)
        trials.append(Trial(chosen, "done", -badness(chosen)))
    assert mean(trials[10:]) > mean(trials[:10]) / 2


def test_failed_infeasible_and_unfinished_trials_are_no_obstacle() -> None:
    search = Search(AXES, seed=7)
    trials = tried(search, 3)
    others = [Trial(trials[0].chosen, status) for status in ("failed", "infeasible", "running", "pruned")]
    assert search.next([*trials, *others]).keys() == trials[0].chosen.keys()


def test_a_run_that_falls_behind_is_ended_early_and_one_that_leads_is_not() -> None:
    search = Search(AXES, seed=7, halving_factor=2)
    chosen = tried(search, 1)[0].chosen
    leader = Trial(chosen, "done", 2.0, {10: 4.0, 20: 3.0, 40: 2.0})
    assert search.ends_early([leader, Trial(chosen, "running", held_out={10: 5.0})])
    assert not search.ends_early([leader, Trial(chosen, "running", held_out={10: 3.5})])
    assert search.ends_early([leader, Trial(chosen, "running", held_out={10: 3.5, 20: 3.4})])
    assert not search.ends_early([leader, Trial(chosen, "running")])
    higher = Search(
        AXES, seed=7, higher_is_better=True, halving_factor=2
    )  # a loss is better lower all the same
    assert higher.ends_early([leader, Trial(chosen, "running", held_out={10: 5.0})])
    assert not higher.ends_early([leader, Trial(chosen, "running", held_out={10: 3.5})])


def test_without_halving_each_run_is_carried_to_its_end() -> None:
    search = Search(AXES, seed=7)
    chosen = tried(search, 1)[0].chosen
    leader = Trial(chosen, "done", 2.0, {10: 4.0})
    assert not search.ends_early([leader, Trial(chosen, "running", held_out={10: 50.0})])
