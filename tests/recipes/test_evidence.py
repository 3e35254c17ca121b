"""Evidence carries what a run measured, and nothing of where, on what and by whom."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from forge.errors import PackError
from forge.plan.types import Plan, SourcePlan, plan_id, plan_to_json
from forge.recipes.evidence import (
    MOST_POINTS,
    changed_keys,
    evidence_rows,
    installed_evidence,
    ran_on,
    read_evidence,
)
from forge.recipes.pack import make_pack
from forge.resources import data_dir
from forge.spec.pack_manifest import json_bytes
from forge.spec.safe_yaml import parse
from forge.spec.schema import load_schema_file
from tests.plan.specs import compiled
from tests.recipes.kit import EVIDENCE, Kit, needs_ssh_keygen
from tests.recipes.kit import RECIPES as PACKED

SECRET = "canary-7f3a9c1e"
"""It stands for a path, a host, a user and a sentence of the data, and may appear nowhere."""

RECIPES = {
    "recipes/tiny.yaml": b"defaults:\n  - override /model: llama_3m\n\nname: tiny\ntrain:\n  tokens: 2_000_000\n",
    "recipes/other.yaml": b"name: other\n",
}


def _plan(*overrides: str) -> Plan:
    plan = compiled("model=llama_3m", "name=tiny", "hardware=cpu", *overrides)
    spec = plan.spec | {"data": plan.spec["data"] | {"path": f"/home/{SECRET}/contracts"}}
    source = SourcePlan(f"/home/{SECRET}/contracts", 1, 1, "0" * 64)
    layout = replace(plan.layout, hardware=f"{SECRET}-cluster", gpu=f"h100-of-{SECRET}")
    stages = tuple(
        replace(stage, parameters=stage.parameters | {"path": f"/home/{SECRET}"}) for stage in plan.stages
    )
    planted = replace(
        plan, spec=spec, layout=layout, stages=stages, sources=(source,), forge_version=f"0.1.0+{SECRET}"
    )
    return replace(planted, id=plan_id(planted))


def _events(steps: int) -> list[dict[str, Any]]:
    started = {"time": 1.0, "event": "train_start", "step": 0, "host": SECRET, "rank": f"{SECRET}:29500"}
    events = [started]
    for step in range(1, steps + 1):
        events.append(
            {
                "event": "step",
                "step": step,
                "loss": 8.0 / step,
                "source_tokens": {f"/home/{SECRET}": 3},
                "user": SECRET,
            }
        )
    events += [
        {"event": "step", "step": 2, "loss": 3.5},  # done again after a restart: the later line counts
        {"event": "step_skipped", "step": 3, "reason": SECRET},
        {"event": "step", "step": 4, "loss": SECRET},
        {"event": "evaluation", "step": 5, "held_out_loss": 2.5, "sample": SECRET},
        {"event": "stage_note", "stage": "lake", "line": f"{SECRET} said: the contract is void"},
        {"event": SECRET, "step": SECRET},
    ]
    return events


def _summary() -> dict[str, Any]:
    rates = {"questions": 3, "exact_fraction": 0.5, "abstained_fraction": 0.25, SECRET: SECRET}
    return {
        "plan_id": SECRET,
        "name": SECRET,
        "stages": {"lake": {"folder": SECRET}},
        "data": {"lake": {"sources": {f"/home/{SECRET}": 1}}},
        "training": {
            "hosts": [SECRET],
            "versions": {
                "python": "3.11.7",
                "torch": f"2.13.0+{SECRET}",
                "deepspeed": SECRET,
                "transformers": f"5.24.0.dev0+{SECRET}",
            },
        },
        "evaluation": {
            "held_out_bits_per_byte": 1.7302472169914247,
            "held_out_perplexity": 122.5,
            "held_out_loss_nats_per_token": SECRET,
            "held_out_documents": 84,
            "held_out_by_source": {f"/home/{SECRET}": {"bits_per_byte": 1.7}},
            "samples": [{"prompt": SECRET, "text": SECRET}],
            "baselines": {"xz_bits_per_byte": 1.59, "xz_with_training_text_not_measured": SECRET},
            "regurgitation": {"passages": 200, "verbatim_fraction": 0.0, "examples": [SECRET]},
            "recall": {"model": {"seen": rates, SECRET: rates}, "rival": {"seen": rates}},
            "tasks": {
                "hellaswag": {"acc_norm": 0.31, "main": "acc_norm", "samples": 10},
                f"{SECRET}_exam": {"acc": 0.9, "main": "acc"},
            },
            SECRET: 3.0,
        },
        "predicted_and_measured": {
            "training_time_s": [100.0, 120.0],
            "step_time_s": [0.1, 0.12],
            "tokens_per_second": [4000, 3500.123456789],
            "peak_memory_bytes": [850616320, 825516032],
        },
    }


def _run(folder: Path, plan: Plan, steps: int = 1000, **changes: Any) -> Path:
    """Write the files of a run, SECRET in every place that could hold one."""
    run = folder / f"runs/{SECRET}"
    run.mkdir(parents=True)
    (run / "plan.json").write_text(plan_to_json(plan))
    (run / "summary.json").write_text(json.dumps(_summary() | changes))
    lines = [json.dumps(event) for event in _events(steps)]
    (run / "events.jsonl").write_text("\n".join([*lines, '{"event": "step", "st']))
    (run / "logs").mkdir()
    (run / "logs/rank0.log").write_text(f"{SECRET}\n")
    return run


@pytest.fixture
def mine(kit: Kit) -> Path:
    for path, content in RECIPES.items():
        file = kit.folder / "mine" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return kit.folder / "mine"


def test_a_pack_carries_what_a_run_measured_and_nothing_else(kit: Kit, mine: Path) -> None:
    run = _run(kit.folder, _plan("train.tokens=1_000_000"))
    content, pack, _ = make_pack(mine, "acme", "1.0.0", None, [run])
    assert SECRET.encode() not in content
    assert b"/home" not in content
    (evidence,) = pack.evidence
    assert evidence.recipe == "tiny"
    found = evidence.content
    assert "train.tokens" in found["changed_keys"]
    assert "data.path" not in found["changed_keys"]
    assert found["hardware"]["gpu"] == "other"
    assert found["versions"] == {
        "python": "3.11.7",
        "torch": "2.13.0",
        "deepspeed": "0",
        "transformers": "5.24.0",
    }
    assert found["forge_version"] == "0.1.0"
    assert found["tokens_per_second"] == {"predicted": 4000, "measured": 3500.12}
    assert found["held_out_curve"] == [[5, 2.5]]
    assert {figure["name"]: figure["value"] for figure in found["evaluation"]} == {
        "held_out_bits_per_byte": 1.73025,
        "held_out_perplexity": 122.5,
        "held_out_documents": 84,
        "xz_bits_per_byte": 1.59,
        "training_passages_asked": 200,
        "training_passages_recited_fraction": 0.0,
        "questions_seen_exact_fraction": 0.5,
        "task_hellaswag": 0.31,
    }


def test_a_curve_is_thinned_out_and_keeps_its_ends(kit: Kit, mine: Path) -> None:
    _, pack, _ = make_pack(mine, "acme", "1.0.0", None, [_run(kit.folder, _plan())])
    curve = pack.evidence[0].content["loss_curve"]
    assert len(curve) == MOST_POINTS
    assert curve[0] == [1, 8.0]
    assert curve[-1] == [1000, 0.008]
    steps = [step for step, _ in curve]
    assert steps == sorted(set(steps))


def test_of_a_step_the_last_line_counts_and_a_skipped_one_is_none(kit: Kit, mine: Path) -> None:
    _, pack, _ = make_pack(mine, "acme", "1.0.0", None, [_run(kit.folder, _plan(), steps=5)])
    assert pack.evidence[0].content["loss_curve"] == [[1, 8.0], [2, 3.5], [4, 2.0], [5, 1.6]]


def test_rows_stand_beside_an_estimate(kit: Kit, mine: Path) -> None:
    _, pack, _ = make_pack(mine, "acme", "1.0.0", None, [_run(kit.folder, _plan())])
    rows = {row.name: row for row in evidence_rows(pack.evidence[0])}
    assert (rows["throughput"].value, rows["throughput"].predicted, rows["throughput"].unit) == (
        3500.12, 4000, "tokens/s",
    )  # fmt: skip
    assert rows["peak memory"].unit == "bytes"
    assert rows["loss, first"].value == 8.0
    assert "1 × " in ran_on(pack.evidence[0])


def test_evidence_makes_the_same_bytes_again(kit: Kit, mine: Path) -> None:
    run = _run(kit.folder, _plan())
    first = make_pack(mine, "acme", "1.0.0", None, [run, run])[0]
    assert first == make_pack(mine, "acme", "1.0.0", None, [run, run])[0]
    assert b"evidence/tiny-2.json" in first


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"predicted_and_measured": {"tokens_per_second": [1, math.nan]}},
            "is not the folder of a finished run",
        ),
        ({"training": None}, "is not the folder of a finished run"),
        ({"evaluation": []}, "is not the folder of a finished run"),
    ],
)
def test_a_run_that_is_not_whole_is_one_line(
    changes: dict[str, Any], says: str, kit: Kit, mine: Path
) -> None:
    run = _run(kit.folder, _plan(), **changes)
    with pytest.raises(PackError) as caught:
        make_pack(mine, "acme", "1.0.0", None, [run])
    assert len(caught.value.lines) == 1
    assert says in caught.value.lines[0]


def test_a_run_of_no_recipe_of_the_pack_is_one_line(kit: Kit, mine: Path) -> None:
    plan = replace(_plan(), name="unheard_of")
    run = _run(kit.folder, replace(plan, id=plan_id(plan)))
    with pytest.raises(PackError, match="a run named unheard_of, and no recipe of the pack has that name"):
        make_pack(mine, "acme", "1.0.0", None, [run])
    with pytest.raises(PackError, match="cannot be read"):
        make_pack(mine, "acme", "1.0.0", None, [kit.folder / "nowhere"])


def test_a_run_as_the_recipe_says_has_no_changed_keys() -> None:
    plan = compiled("model=llama_3m", "hardware=cpu")
    assert changed_keys(plan.spec, plan.spec) == []
    other = compiled("model=llama_3m", "hardware=8xh100", "train.learning_rate=3e-3", "seed=3")
    assert changed_keys(plan.spec, other.spec) == ["train.learning_rate"]


def test_every_chip_of_forge_s_own_conf_has_its_name() -> None:
    chips = {
        parse(file.read_text(encoding="utf-8")).values.get("gpu")
        for file in data_dir("conf").glob("hardware/_*.yaml")
    }
    listed = load_schema_file("evidence")["properties"]["hardware"]["properties"]["gpu"]["enum"]
    assert {chip for chip in chips if chip} == set(listed) - {"", "other"}


@pytest.mark.parametrize("schema", ["pack", "evidence", "lock"])
def test_a_schema_of_packs_is_closed_and_described(schema: str) -> None:
    root = load_schema_file(schema)
    Draft202012Validator.check_schema(root)

    def check(node: dict[str, Any]) -> None:
        assert node["title"]
        assert node["description"].endswith(".")
        if node.get("type") == "object":
            assert node["additionalProperties"] is False
            assert sorted(node["required"]) == sorted(node["properties"])
        for child in node.get("properties", {}).values():
            check(child)
        if "items" in node:
            check(node["items"])

    check(root)


def test_evidence_holds_no_free_text() -> None:
    """Every word in it is one of a list, a version, a key of a spec or the recipe's name."""
    free = []

    def look(node: dict[str, Any], path: str) -> None:
        if node.get("type") == "string" and "pattern" not in node:
            free.append(path)
        for name, child in node.get("properties", {}).items():
            look(child, f"{path}.{name}")
        if "items" in node:
            look(node["items"], f"{path}[]")

    look(load_schema_file("evidence"), "")
    assert free == []


@needs_ssh_keygen
def test_the_evidence_of_an_installed_recipe_is_at_hand(kit: Kit) -> None:
    kit.know("maker")
    files = {**PACKED, "evidence/legal-1.json": json_bytes(EVIDENCE)}
    kit.install(kit.write("acme-1.2.0.forge", kit.members(files)))
    (found,) = installed_evidence("acme/legal")
    assert found.content == EVIDENCE
    assert evidence_rows(found)[0].value == 3500.0
    assert (
        installed_evidence("acme/base") == installed_evidence("legal_7b") == installed_evidence("x/y") == ()
    )


def test_numbers_without_end_are_refused(kit: Kit) -> None:
    for number in ("1" + "0" * 400, "-1" + "0" * 400, "1e400"):
        content = json_bytes(EVIDENCE).replace(b"8192", number.encode())
        with pytest.raises(PackError) as caught:
            read_evidence(content, "x")
        assert len(caught.value.lines) == 1


def test_a_sentence_in_evidence_is_refused(kit: Kit, mine: Path) -> None:
    _, pack, _ = make_pack(mine, "acme", "1.0.0", None, [_run(kit.folder, _plan())])
    content = pack.evidence[0].content
    assert read_evidence(json_bytes(content), "x").content == content
    for changed in (
        content | {"comment": SECRET},
        content | {"recipe": f"/home/{SECRET}"},
        content | {"versions": content["versions"] | {"torch": SECRET}},
        content | {"evaluation": [{"name": SECRET, "value": 1.0}]},
    ):
        with pytest.raises(PackError):
            read_evidence(json_bytes(changed), "x")
