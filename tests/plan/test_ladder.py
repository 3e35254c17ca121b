from __future__ import annotations

import itertools
import math

import pytest

from forge.errors import SpecError
from forge.plan.compile import compile_plan
from forge.plan.ladder import MIN_RUNGS, MIN_STEPS, RATE_FACTORS, Ladder, Rung, plan_ladder, with_changes
from tests.plan.specs import LAPTOP, compiled, composed

BIG = ("+recipe=legal_7b", "hardware=8xh100")


def ladder(*overrides: str) -> Ladder:
    values, hardware = composed(*overrides)
    run = compile_plan(values, hardware, LAPTOP, ())
    return plan_ladder(values, run, lambda changed: compile_plan(changed, hardware, LAPTOP, ()))


@pytest.mark.parametrize(
    "more",
    [
        (),
        ("recipe=legal_1b",),
        ("model=mixtral_8x1b",),
        ("recipe=legal_7b", "hardware=16xh100"),
        ("sweep.share=0.001",),
        ("train.optimizer=muon", "train.gradient_clip=null"),
        ("train.epochs=2",),
        ("train.warmup_tokens=1000000000",),
    ],
    ids=" ".join,
)
def test_rungs_are_small_models_of_the_family_that_cost_no_more_than_the_share(more: tuple[str, ...]) -> None:
    said = {word.partition("=")[0] for word in more}
    overrides = (*(word for word in BIG if word.lstrip("+").partition("=")[0] not in said), *more)
    run, found = compiled(*overrides), ladder(*overrides)
    share = composed(*overrides)[0]["sweep"]["share"]
    assert 0 < found.share <= share
    assert MIN_RUNGS <= len(found.rungs) <= composed(*overrides)[0]["sweep"]["rungs"]
    flops = [rung.compute_flops for rung in found.rungs]
    assert flops == sorted(flops)
    assert flops[-1] < found.run_compute_flops
    for rung in found.rungs:
        # As the command line of a run: composed, checked and compiled.
        plan = compiled(*with_changes(overrides, rung.changes))
        assert plan.model.active_parameters == rung.parameters
        assert plan.schedule.tokens == rung.tokens
        assert plan.estimates.wall_clock_s == rung.wall_clock_s
        assert plan.model.family == run.model.family
        assert plan.model.head_dim == run.model.head_dim
        assert plan.model.vocab_size == run.model.vocab_size
        assert plan.schedule.sequence_length == run.schedule.sequence_length
        assert plan.model.experts == run.model.experts
        assert plan.model.layers / plan.model.hidden_size == pytest.approx(
            run.model.layers / run.model.hidden_size, rel=0.5
        )
        # Whole steps and whole heads aside, the ratio is the run's.
        assert plan.estimates.tokens_per_parameter == pytest.approx(
            run.estimates.tokens_per_parameter, rel=0.01
        )
        assert plan.schedule.global_batch_tokens <= run.schedule.global_batch_tokens


def test_the_ladder_of_a_7b_model_is_two_hundredths_of_it() -> None:
    found = ladder(*BIG)
    assert len(found.rungs) == 5
    assert 0.01 < found.share <= 0.02
    assert found.cost_usd == pytest.approx(sum((r.cost_usd or 0) * len(r.rate_factors) for r in found.rungs))
    assert [rung.rate_factors for rung in found.rungs] == [RATE_FACTORS, RATE_FACTORS, (1.0,), (1.0,), (1.0,)]


def test_rates_and_batches_follow_the_compute() -> None:
    found = ladder(*BIG)
    small = found.rungs[0]
    scale = small.compute_flops / found.run_compute_flops
    assert small.changes["train.learning_rate"] == pytest.approx(3e-4 * scale**-0.125, rel=0.02)
    for rung in found.rungs:
        expected = 2**22 * (rung.compute_flops / found.run_compute_flops) ** 0.3271
        assert rung.changes["train.global_batch_tokens"] == pytest.approx(expected, rel=0.07)
    assert small.at_rate(2.0)["train.learning_rate"] == pytest.approx(
        2 * small.changes["train.learning_rate"], rel=0.01
    )


def test_under_mup_the_rate_is_that_of_the_base_width() -> None:
    found = ladder(*BIG, "train.parametrization=mup", "train.mup_base_hidden_size=512")
    # But for what rounding the batch is off.
    assert [rung.changes["train.learning_rate"] for rung in found.rungs] == pytest.approx(
        [3e-4] * 5, rel=0.04
    )


TOY = (
    *("+recipe=legal_tiny", "hardware=cpu", "tokenizer.vocab_size=512", "train.sequence_length=64"),
    *("model.layers=8", "model.hidden_size=64", "model.attention_heads=8", "model.kv_heads=4"),
    *("model.intermediate_size=172", "train.tokens=1600000", "train.global_batch_tokens=1024"),
    *("sweep=ladder", "sweep.share=10", "sweep.rungs=4"),
)
"""Its smallest rung would take 800 steps."""


def steps_of(rung: Rung) -> float:
    return rung.tokens / int(rung.changes["train.global_batch_tokens"])


def test_steps_grow_with_the_size_of_a_rung() -> None:
    steps = [steps_of(rung) for rung in ladder(*BIG).rungs]
    assert all(MIN_STEPS <= smaller < larger for smaller, larger in itertools.pairwise(steps))


def test_a_rung_of_few_steps_has_a_smaller_batch_and_its_rate() -> None:
    found = ladder(*TOY)
    assert all(steps_of(rung) >= MIN_STEPS for rung in found.rungs)
    small = found.rungs[0]
    scale = small.compute_flops / found.run_compute_flops
    short = small.changes["train.global_batch_tokens"] / (1024 * scale**0.3271)
    assert short < 0.9
    assert small.changes["train.learning_rate"] == pytest.approx(
        compiled(*TOY).schedule.learning_rate * scale**-0.125 * math.sqrt(short), rel=0.01
    )


@pytest.mark.parametrize(
    ("pinned", "share"),
    [
        (("engine.micro_batch_sequences=3", "train.global_batch_tokens=1152"), 3),
        (("engine.gradient_accumulation_steps=2",), 2),
    ],
    ids=str,
)
def test_a_batch_is_made_of_what_is_pinned(pinned: tuple[str, ...], share: int) -> None:
    for rung in ladder(*TOY, "train.tokens=6400000", *pinned).rungs:
        assert rung.changes["train.global_batch_tokens"] % (share * 64) == 0


def test_what_a_rung_is_not_asked_for_is_left_out() -> None:
    gates = ("evaluate.gates.max_held_out_bits_per_byte=0.9", "export=ollama", "evaluate.tasks=[arc_easy]")
    changes = ladder(*BIG, *gates).rungs[0].changes
    assert changes["evaluate.gates.max_held_out_bits_per_byte"] is None
    assert changes["evaluate.tasks"] == []
    assert changes["export.formats"] == ["hf"]


def test_phases_in_tokens_become_the_same_shares() -> None:
    phases = "train.phases=[{tokens: 126000000000, source_weights: [1]}, {tokens: 14000000000, source_weights: [2]}]"
    changed = ladder(*BIG, phases).rungs[0].changes["train.phases"]
    assert [phase["fraction"] for phase in changed] == [0.9, 0.1]


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (
            ("+recipe=legal_tiny", "hardware=cpu", "train.tokens=20000000"),
            r"sweep.share: 0.02 of the run's cost does not pay for 3 rungs: at least 0\.\d+ does",
        ),
        (
            (*BIG, "model.attention_heads=2", "model.kv_heads=2"),
            "sweep.method: a ladder needs 3 smaller models of the same head size, and a model of 2 heads has 1: "
            "choose a larger model",
        ),
        (
            (*TOY, "train.sequence_length=512"),
            "sweep.method: a ladder needs 3 smaller models that train for 1,000 steps, of 512 tokens at least, and "
            r"\d of 7 do: train on more tokens, or use fewer devices or shorter sequences",
        ),
        ((*BIG, "train.lora_rank=8"), "sweep.method: a ladder predicts a training from random weights"),
    ],
)
def test_a_run_without_a_ladder_says_why(overrides: tuple[str, ...], says: str) -> None:
    values, hardware = composed(*overrides)
    run = compiled(*BIG)
    if "train.lora_rank=8" not in overrides:
        run = compile_plan(values, hardware, LAPTOP, ())
    with pytest.raises(SpecError, match=says):
        plan_ladder(values, run, lambda changed: compile_plan(changed, hardware, LAPTOP, ()))


def test_nothing_about_a_sweep_is_in_the_plan() -> None:
    assert (
        compiled(*BIG).id
        == compiled(*BIG, "sweep=ladder", "sweep.share=0.1", "launch=slurm", "track=mlflow").id
    )
