from __future__ import annotations

import pytest

from forge.errors import SpecError
from forge.spec.compose import compose_spec
from tests.spec.workspace import Workspace


@pytest.mark.parametrize(
    "overrides",
    [
        ["train.global_batch_tokens=1024", "train.sequence_length=512"],
        ["train.global_batch_tokens=512", "train.sequence_length=512", "train.tokens=512"],
        ["train.learning_rate_schedule=wsd", "train.warmup_fraction=0.5", "train.decay_fraction=0.5"],
        ["train.learning_rate_schedule=cosine", "train.warmup_fraction=0.5", "train.decay_fraction=0.9"],
        ["model.hidden_size=390", "model.head_dim=64"],
        ["model.kv_heads=3"],
        ["model=mixtral_8x1b", "model.experts_per_token=8"],
        ["data.held_out_group_jaccard=0.8"],
        ["data.curate=[age]", "data.age_half_life_years=2", "data.age_on='2028-02-29'"],
        ["data.curate=[cap]", "data.source_cap_bytes=[1000,null]"],
        ["engine.zero_stage=0", "train.precision=fp32"],
        ["engine.zero_stage=0", "train.precision=auto"],
        ["engine.zero_stage=1", "train.precision=bf16"],
        ["train.tokens=1000000", "train.steps=null"],
        ["train.tokens=null", "train.steps=5"],
    ],
)
def test_what_is_at_the_limit_is_allowed(workspace: Workspace, overrides: list[str]) -> None:
    assert workspace.complaints(*overrides) == ()


def test_who_speaks_later_says_how_the_budget_is_given(workspace: Workspace) -> None:
    workspace.write("recipes/base.yaml", "train:\n  tokens: 2000000\n")
    workspace.write("recipes/x.yaml", "defaults:\n  - base\ntrain:\n  steps: 7\n")

    by_base = workspace.compose("recipe=base").values["train"]
    assert (by_base["tokens"], by_base["steps"]) == (2_000_000, None)

    by_child = workspace.compose("recipe=x")
    assert (by_child.values["train"]["tokens"], by_child.values["train"]["steps"]) == (None, 7)
    assert by_child.where(("train", "tokens")) == "recipes/x.yaml:4"

    by_user = workspace.compose("recipe=x", "train.tokens=3000000")
    assert (by_user.values["train"]["tokens"], by_user.values["train"]["steps"]) == (3_000_000, None)
    assert [origin.where for origin in by_user.origins[("train", "steps")]] == [
        "command line",
        "recipes/x.yaml:4",
        "conf/train/pretrain.yaml:3",
    ]


def test_who_speaks_later_says_how_the_warm_up_is_given(workspace: Workspace) -> None:
    workspace.write("recipes/x.yaml", "train:\n  warmup_tokens: 1000000\n")
    train = workspace.compose("recipe=x").values["train"]
    assert (train["warmup_fraction"], train["warmup_tokens"]) == (None, 1_000_000)
    train = workspace.compose("recipe=x", "train.warmup_fraction=0.1").values["train"]
    assert (train["warmup_fraction"], train["warmup_tokens"]) == (0.1, None)


def test_one_s_own_option_speaks_later_than_the_one_it_extends(workspace: Workspace) -> None:
    workspace.write("my_conf/train/mine.yaml", "defaults:\n  - pretrain\nsteps: 7\n")
    train = workspace.compose("train=mine").values["train"]
    assert (train["tokens"], train["steps"]) == (None, 7)


def test_a_rule_stands_at_the_key_that_was_set_last(workspace: Workspace) -> None:
    workspace.write("recipes/x.yaml", "train:\n  global_batch_tokens: 8192\n")
    assert workspace.complaints("recipe=x", "train.sequence_length=1000") == (
        "command line: train.sequence_length: global_batch_tokens 8192 is not a multiple of "
        "sequence_length 1000: use 8000 or 9000",
    )


def test_a_rule_needs_good_values(workspace: Workspace) -> None:
    assert workspace.complaints("train.sequence_length=0") == (
        "command line: train.sequence_length: 0 tokens is below the least allowed, 8 "
        "(over conf/train/pretrain.yaml:5)",
    )


def test_a_rule_waits_until_every_key_of_the_group_is_one(workspace: Workspace) -> None:
    """The misspelled key may be the very one that would have kept the rule."""
    workspace.write("recipes/x.yaml", "train:\n  global_batch_tokens: 1000\n  sequence_lenght: 500\n")
    assert workspace.complaints("recipe=x") == (
        "recipes/x.yaml:3: train.sequence_lenght: no such key. did you mean train.sequence_length?",
    )


def test_equal_values_are_spelled_equally(workspace: Workspace) -> None:
    whole = workspace.compose("train.steps=1e3", "train.learning_rate=1", "seed=7.0", "engine.zero_stage=2.0")
    plain = workspace.compose("train.steps=1000", "train.learning_rate=1.0", "seed=7", "engine.zero_stage=2")
    assert repr(whole.values) == repr(plain.values)
    assert isinstance(whole.values["train"]["steps"], int)
    assert isinstance(whole.values["train"]["learning_rate"], float)


def test_the_order_of_keys_is_the_schema_s_whoever_set_them(workspace: Workspace) -> None:
    workspace.write("my_conf/export/hf.yaml", "dtype: auto\ngguf_types: [f16]\nformats: [hf]\n")
    assert list(workspace.compose().values["export"]) == ["formats", "dtype", "gguf_types"]
    assert list(workspace.compose().values)[:4] == ["name", "seed", "output_dir", "hostfile"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("evaluate.question_template=ask", "evaluate.question_template: has no {question} in it"),
        (
            "evaluate.fact_templates={price: What does it cost?}",
            "evaluate.fact_templates: the template of 'price' has no {subject} in it",
        ),
        ("evaluate.rival_endpoint=localhost", "evaluate.rival_endpoint: 'localhost' must be an address"),
    ],
)
def test_what_questions_are_made_of_is_looked_at(workspace: Workspace, override: str, message: str) -> None:
    (line,) = workspace.complaints(override)
    assert message in line


def test_a_rival_is_one(workspace: Workspace) -> None:
    (line,) = workspace.complaints("evaluate.rival_folder=m", "evaluate.rival_endpoint=http://localhost:1/v1")
    assert "give one, the other null" in line
    assert workspace.complaints("evaluate.fact_templates={price: 'What does {subject} cost?'}") == ()


def test_a_recipe_names_no_rival(workspace: Workspace) -> None:
    workspace.write("recipes/x.yaml", "evaluate:\n  rival_endpoint: http://localhost:1/v1\n")
    (line,) = workspace.complaints("recipe=x")
    assert "not in a recipe" in line


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["evaluate.gates.min_exact=0.5"], "evaluate.gates.min_exact: no such key"),
        (["evaluate.gates.max_held_out_bits=2"], "did you mean evaluate.gates.max_held_out_bits_per_byte?"),
        (
            ["evaluate.gates.min_known_exact_fraction=60", "evaluate.questions=q"],
            "is above the most allowed, 1",
        ),
        (
            ["evaluate.gates.min_known_exact_fraction=0.6"],
            "min_known_exact_fraction is a gate on questions, and none are asked",
        ),
        (
            [
                "evaluate.gates.min_known_exact_over_retrieval=0",
                "evaluate.facts=f.csv",
                "evaluate.retrieval=false",
            ],
            "is a gate on retrieval, which is off",
        ),
    ],
)
def test_a_gate_that_bounds_nothing_is_refused(
    workspace: Workspace, overrides: list[str], message: str
) -> None:
    (line,) = workspace.complaints(*overrides)
    assert message in line


def test_gates_go_with_what_they_bound(workspace: Workspace) -> None:
    assert workspace.complaints("evaluate.gates.max_held_out_bits_per_byte=2") == ()
    assert workspace.complaints("evaluate.gates.min_known_exact_fraction=1", "evaluate.questions=q") == ()


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (
            ["sweep.metric=unknown_wrong_fraction"],
            "unknown_wrong_fraction is about questions, and none are asked",
        ),
        (
            [
                *("sweep.metric=known_exact_over_retrieval", "evaluate.questions=/q.jsonl"),
                "evaluate.retrieval=false",
            ],
            "known_exact_over_retrieval is about retrieval, which is off",
        ),
        (
            ["sweep.metric=recited_fraction", "evaluate.regurgitation_samples=0"],
            "recited_fraction is about training passages, and none are tried",
        ),
    ],
)
def test_a_sweep_is_ranked_by_what_is_measured(overrides: list[str], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        compose_spec(overrides)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["data.stale_on='2026-02-30'"], "2026-02-30 is no day of the calendar"),
        (["data.curate=[age]", "data.age_half_life_years=2"], "counts ages, and to no day"),
        (["data.curate=[]", "data.age_half_life_years=2", "data.age_on='2026-01-01'"], "lacks: add it"),
        (["data.curate=[age]", "data.age_half_life_years=0"], "age_half_life_years"),
        (["data.curate=[cap]"], "data.source_cap_bytes is null and data.curate has the step `cap`"),
        (["data.curate=[cap]", "data.source_cap_bytes=[5,-1]"], "source_cap_bytes"),
    ],
)
def test_a_step_of_curation_has_what_it_needs(workspace: Workspace, overrides: list[str], says: str) -> None:
    (line,) = workspace.complaints(*overrides)
    assert says in line
