"""A training in phases: what it reads, across processes, stops and windows that are left out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from forge.data.loading import TokenShard
from forge.engine.batches import RankBatches, sequence_order
from forge.engine.distributed import Place
from forge.engine.skips import Window, documents_of
from forge.errors import StageError
from forge.plan.types import PhasePlan, Plan
from tests.engine.poison import poison, stop_after
from tests.engine.runs import events_of, losses, make_run, train_here, train_to_the_end, weights_sha256
from tests.factories import BOS_ID, EOS_ID, tiny_plan, write_tokens

CPU = torch.device("cpu")
GENERAL, FINE = {"general": 1.0, "fine": 0.0}, {"general": 0.5, "fine": 2.0}
PHASES = (PhasePlan(1, 5, GENERAL), PhasePlan(6, 3, FINE))


def phased_plan(layout: dict[str, int] | None = None, phases: tuple[PhasePlan, ...] = PHASES) -> Plan:
    return tiny_plan(schedule={"steps": 8, "phases": phases}, layout=layout)


@pytest.fixture(scope="module")
def phased(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokens of which the first 2000 are for phase 1, 1000 and 1000 for phase 2."""
    folder = write_tokens(tmp_path_factory.mktemp("phased"))
    facts = json.loads((folder / "tokens.json").read_text())
    facts["phases"] = [
        [{"source": "general", "start": 0, "tokens": 2_000}],
        [
            {"source": "general", "start": 2_000, "tokens": 1_000},
            {"source": "fine", "start": 3_000, "tokens": 1_000},
        ],
    ]
    (folder / "tokens.json").write_text(json.dumps(facts))
    return folder


def test_a_phase_reads_its_own_part_of_the_stream(phased: Path) -> None:
    order = sequence_order(phased_plan(), TokenShard.open(phased, "train"))
    read = [order.batch(step) * 32 for step in range(8)]
    assert all((starts < 2_000).all() for starts in read[:5])
    assert all((starts >= 2_000).all() for starts in read[5:])
    fine = sum(int((starts >= 3_000).sum()) for starts in read[5:])
    assert fine == pytest.approx(3 * 4 / 2, abs=2)


def test_two_ranks_together_read_what_one_process_reads_in_every_phase(phased: Path) -> None:
    shard = TokenShard.open(phased, "train")
    alone = phased_plan({"micro_batch_sequences": 8})
    pair = phased_plan(
        {"micro_batch_sequences": 2, "gradient_accumulation_steps": 2, "processes_per_node": 2}
    )
    for step in (0, 4, 5, 7):
        ((inputs, *_),) = RankBatches(alone, shard, 0, CPU, BOS_ID, EOS_ID).step(step)
        parts = [list(RankBatches(pair, shard, rank, CPU, BOS_ID, EOS_ID).step(step)) for rank in (0, 1)]
        ordered = [parts[rank][accumulation] for accumulation in (0, 1) for rank in (0, 1)]
        assert torch.equal(torch.cat([part.inputs for part in ordered]), inputs)


def test_a_resume_across_phases_is_bit_for_bit_and_events_say_where_the_run_is(
    tmp_path: Path, phased: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = phased_plan()
    whole = make_run(tmp_path / "whole", plan)
    train_here(plan, phased, whole, place)
    assert [(event["step"], event["phase"], event["phases"]) for event in events_of(whole, "phase")] == [
        (1, 1, 2),
        (6, 2, 2),
    ]
    assert events_of(whole, "phase")[1]["source_weights"] == FINE
    steps = {event["step"]: event for event in events_of(whole, "step")}
    assert [steps[step]["phase"] for step in (1, 5, 6, 8)] == [1, 1, 2, 2]
    assert steps[5]["source_tokens"] == {"general": 5 * 4 * 32, "fine": 0}
    assert sum(steps[8]["source_tokens"].values()) == steps[8]["tokens"] == 8 * 4 * 32
    assert steps[8]["source_tokens"]["fine"] == pytest.approx(3 * 4 * 32 / 2, abs=2 * 32)
    assert steps[5]["epoch"] == pytest.approx(5 * 4 / 63)
    assert steps[6]["epoch"] == pytest.approx(4 / 62, rel=0.05)
    for step in (4, 5, 6):
        halves = make_run(tmp_path / f"{step}", plan)
        with monkeypatch.context() as patched:
            stop_after(patched, halves, step)
            train_here(plan, phased, halves, place)
        train_here(plan, phased, halves, place)
        assert [start["resumed_from"] for start in events_of(halves, "train_start")] == [None, step]
        assert losses(halves) == losses(whole)
        assert weights_sha256(halves) == weights_sha256(whole)


def test_what_is_left_out_after_going_back_is_of_the_phase(
    tmp_path: Path, phased: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = tiny_plan(
        schedule={"steps": 12, "checkpoint_every_steps": 2, "phases": (PHASES[0], PhasePlan(6, 7, FINE))}
    )
    run_dir = make_run(tmp_path, plan)
    poison(monkeypatch, {7, 8, 9}, "not finite")
    train_to_the_end(plan, phased, run_dir, place)
    (back,) = events_of(run_dir, "going_back")
    skipped = json.loads((run_dir / "skipped.json").read_text())["windows"][0]["documents"]
    window = Window(back["first_step"], back["last_step"], "")
    assert skipped == documents_of(plan, phased, window)
    order = sequence_order(plan, TokenShard.open(phased, "train"))
    begins = np.concatenate([order.batch(step - 1) * 32 for step in range(window.first, window.last + 1)])
    documents = {begin // 50 * 50 for begin in begins.tolist()}
    assert {f"train-{start}" for start in documents} <= set(skipped)
    assert [event["phase"] for event in events_of(run_dir, "phase")].count(2) == 2  # passed twice
    assert 12 in losses(run_dir)


@pytest.mark.parametrize(
    ("phases", "said"),
    [
        ((), "the tokens are of a training in 2 phases, the plan has 0: compile the plan again"),
        (PHASES[:1], "the tokens are of a training in 2 phases, the plan has 1"),
    ],
)
def test_tokens_of_other_phases_are_refused(
    phases: tuple[PhasePlan, ...], said: str, tmp_path: Path, phased: Path, place: Place
) -> None:
    plan = phased_plan(phases=phases)
    with pytest.raises(StageError, match=said):
        train_here(plan, phased, make_run(tmp_path, plan), place)


def test_a_phase_without_text_is_refused(tmp_path: Path, place: Place) -> None:
    folder = write_tokens(tmp_path / "tokens")
    facts = json.loads((folder / "tokens.json").read_text())
    facts["phases"] = [[{"source": "general", "start": 0, "tokens": 4_000}], []]
    (folder / "tokens.json").write_text(json.dumps(facts))
    with pytest.raises(StageError, match="the text of phase 2 does not fill one sequence of 32"):
        train_here(phased_plan(), folder, make_run(tmp_path / "run", phased_plan()), place)
