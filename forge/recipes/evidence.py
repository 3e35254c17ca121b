"""Evidence: what a run of a recipe measured, for whoever takes the recipe. Numbers only.

Nothing is copied from a run's files but numbers, and words that `schemas/evidence.schema.json` lists one by one: so
nothing of the data, no path, no name of a machine, a person or a private task can come along.
"""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forge.errors import PackError, SpecError
from forge.plan.types import Plan, load_plan
from forge.recipes.check import search_path_of, write_members
from forge.spec.compose import compose_spec
from forge.spec.pack_manifest import json_bytes, read_json
from forge.spec.packs import pack_in_force
from forge.spec.schema import load_schema_file, spec_schema
from forge.spec.search_path import HARDWARE_GROUP, is_option_name
from forge.spec.types import KeyPath, PackUse, dotted

MOST_POINTS = 300
SIGNIFICANT_DIGITS = 6

_RUN_S_OWN = {("name",), ("seed",), ("output_dir",), ("hostfile",), ("remote_shell",), ("data", "path")}
"""Keys in which every run differs from its recipe."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one run of a recipe measured."""

    recipe: str
    """Without the pack's name."""
    content: dict[str, Any]
    """By `schemas/evidence.schema.json`."""


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """One line of a table of evidence."""

    name: str
    value: float
    unit: str
    """'' for a pure number."""
    predicted: float | None = None
    """What the plan of that run had said; None for what no plan says."""


def evidence_rows(evidence: Evidence) -> tuple[EvidenceRow, ...]:
    """Return what a run measured, to be printed beside an estimate."""
    content = evidence.content
    rows = [
        EvidenceRow(shown, content[name]["measured"], unit, content[name]["predicted"])
        for name, shown, unit in (
            ("tokens_per_second", "throughput", "tokens/s"),
            ("peak_memory_bytes", "peak memory", "bytes"),
            ("training_time_s", "training time", "s"),
        )
    ]
    if content["loss_curve"]:
        rows.append(EvidenceRow("loss, first", content["loss_curve"][0][1], "nats a token"))
        rows.append(EvidenceRow("loss, last", content["loss_curve"][-1][1], "nats a token"))
    rows += [
        EvidenceRow(figure["name"].replace("_", " "), figure["value"], "") for figure in content["evaluation"]
    ]
    return tuple(rows)


def ran_on(evidence: Evidence) -> str:
    """Return in a few words what a run trained and on what: `3.4M llama, 450K tokens, 8 × h100-sxm-80gb`."""
    hardware, training = evidence.content["hardware"], evidence.content["training"]
    devices = hardware["nodes"] * hardware["processes_per_node"]
    chip = hardware["gpu"] or ("CPU process" if devices == 1 else "CPU processes")
    return (
        f"{evidence.content['model']['parameters']:,} parameters, {training['steps']:,} steps, "
        f"{training['tokens']:,} tokens, {devices} × {chip}, {hardware['precision']}, ZeRO-{hardware['zero_stage']}"
    )


def read_evidence(content: bytes, where: str) -> Evidence:
    """Read a file of evidence.

    Raises:
        PackError: it is not what the schema says.
    """
    value = read_json(content, "evidence", where)
    return Evidence(value["recipe"], value)


def installed_evidence(recipe: str) -> tuple[Evidence, ...]:
    """Return what runs of a recipe of an installed pack measured.

    Args:
        recipe: as `NAME/RECIPE`; of any other there is none.

    Raises:
        PackError: a file of it is not what it should be.
    """
    name, _, own_name = recipe.partition("/")
    pack = pack_in_force(name) if own_name else None
    if pack is None or pack.problem:
        return ()
    files = sorted((pack.folder / "evidence").glob("*.json"))
    found = (read_evidence(file.read_bytes(), f"{name}: evidence/{file.name}") for file in files)
    return tuple(evidence for evidence in found if evidence.recipe == own_name)


def evidence_members(members: Mapping[str, bytes], name: str, runs: Sequence[Path]) -> dict[str, bytes]:
    """Return the evidence of runs as files of a pack.

    A run is of the recipe whose `name` it has.

    Args:
        members: the recipes and options of the pack, by path.
        name: of the pack.
        runs: folders of finished runs.

    Raises:
        PackError: a folder is not that of a finished run, or of no recipe of the pack.
        SpecError: a recipe cannot be composed.
    """
    if not runs:
        return {}
    composed = _composed(members, name)
    found: dict[str, bytes] = {}
    for run in runs:
        plan, summary = _read_run(run)
        recipes = [recipe for recipe, values in composed.items() if values["name"] == plan.name]
        if len(recipes) != 1:
            names = ", ".join(f"{recipe} (name: {values['name']})" for recipe, values in composed.items())
            which = "no recipe" if not recipes else "more than one recipe"
            raise PackError(
                f"{run}: is a run named {plan.name}, and {which} of the pack has that name: {names}"
            )
        content = measured(plan, summary, _events(run / "events.jsonl"), recipes[0], composed[recipes[0]])
        number = 1 + sum(path.startswith(f"evidence/{recipes[0]}-") for path in found)
        found[f"evidence/{recipes[0]}-{number}.json"] = json_bytes(content)
        read_json(json_bytes(content), "evidence", str(run))
    return found


def measured(
    plan: Plan,
    summary: Mapping[str, Any],
    events: Sequence[Mapping[str, Any]],
    recipe: str,
    values: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the evidence of one run.

    Args:
        plan: of the run.
        summary: its summary.json.
        events: its events.jsonl, oldest first.
        recipe: that was run.
        values: what that recipe composes to by itself.
    """
    chips = load_schema_file("evidence")["properties"]["hardware"]["properties"]["gpu"]["enum"]
    steps: dict[int, float] = {}
    held_out: dict[int, float] = {}
    for event in events:  # of a step that is there several times the last line counts
        if event.get("event") == "step" and _is_number(event.get("loss")):
            steps[int(event["step"])] = event["loss"]
        if event.get("event") == "step_skipped":
            steps.pop(int(event["step"]), None)
        if event.get("event") == "evaluation" and _is_number(event.get("held_out_loss")):
            held_out[int(event["step"])] = event["held_out_loss"]
    both = summary["predicted_and_measured"]
    layout = plan.layout
    return {
        "format": 1,
        "recipe": recipe,
        "changed_keys": changed_keys(values, plan.spec),
        "forge_version": _version(plan.forge_version),
        "model": {
            "family": plan.model.family,
            "parameters": plan.model.parameters,
            "sequence_length": plan.schedule.sequence_length,
        },
        "hardware": {
            "device": layout.device,
            "gpu": layout.gpu if layout.gpu in chips else "other",
            "nodes": layout.nodes,
            "processes_per_node": layout.processes_per_node,
            "precision": layout.precision,
            "zero_stage": layout.zero_stage,
        },
        "training": {"steps": plan.schedule.steps, "tokens": plan.schedule.tokens},
        **{
            name: {"predicted": _rounded(both[name][0]), "measured": _rounded(both[name][1])}
            for name in ("tokens_per_second", "peak_memory_bytes", "training_time_s")
        },
        "loss_curve": _thinned(steps),
        "held_out_curve": _thinned(held_out),
        "evaluation": [
            {"name": name, "value": _rounded(value)}
            for name, value in _figures(summary["evaluation"])
            if _is_number(value)
        ],
        "versions": {
            name: _version(summary["training"]["versions"][name])
            for name in ("python", "torch", "deepspeed", "transformers")
        },
    }


def changed_keys(recipe: Mapping[str, Any], run: Mapping[str, Any]) -> list[str]:
    """Return the declared keys in which a run differs from its recipe; data's place and the hardware do not count."""
    return [
        dotted(key)
        for key in spec_schema().leaves
        if key not in _RUN_S_OWN and key[0] != HARDWARE_GROUP and _at(recipe, key) != _at(run, key)
    ]


def _composed(members: Mapping[str, bytes], name: str) -> dict[str, dict[str, Any]]:
    """Return what each recipe of a pack in the making composes to."""
    with tempfile.TemporaryDirectory(prefix="forge-pack-") as folder:
        write_members(Path(folder), members)
        use = PackUse(name, "0.0.0", "", "", "")
        path = search_path_of(Path(folder), use)
        recipes = (Path(member).stem for member in members if member.startswith("recipes/"))
        return {
            recipe: compose_spec([f"recipe={name}/{recipe}"], path).values
            for recipe in sorted(recipes)
            if is_option_name(recipe)
        }


def _read_run(run: Path) -> tuple[Plan, dict[str, Any]]:
    try:
        plan = load_plan(run / "plan.json")
        summary = json.loads((run / "summary.json").read_bytes())
        training = summary["training"]
        if not all(
            _is_number(value) for pair in summary["predicted_and_measured"].values() for value in pair
        ):
            raise ValueError
        if not (isinstance(summary["evaluation"], dict) and isinstance(training["versions"], dict)):
            raise ValueError
    except SpecError as error:
        raise PackError(*error.lines) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise PackError(f"{run}: is not the folder of a finished run: name one, as runs/NAME-ID") from None
    return plan, summary


def _events(path: Path) -> list[dict[str, Any]]:
    """Return the whole events of a run; a line that a killed process left unfinished is passed over."""
    events = []
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict) and isinstance(event.get("step", 0), int):
            events.append(event)
    return events


def _thinned(curve: Mapping[int, float]) -> list[list[float]]:
    """Return a curve as [step, value] with at most MOST_POINTS points, evenly apart, first and last among them."""
    steps = sorted(curve)
    if len(steps) > MOST_POINTS:
        last = len(steps) - 1
        steps = [steps[round(place * last / (MOST_POINTS - 1))] for place in range(MOST_POINTS)]
    return [[step, _rounded(curve[step])] for step in steps]


def _figures(evaluation: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the figures that the schema lists, by its names for them."""
    listed = load_schema_file("evidence")["properties"]["evaluation"]["items"]["properties"]["name"]["enum"]
    found: dict[str, Any] = {name: evaluation.get(name) for name in listed if name.startswith("held_out_")}
    found |= {name: value for name, value in (evaluation.get("baselines") or {}).items()}
    recited = evaluation.get("regurgitation") or {}
    found["training_passages_asked"] = recited.get("passages")
    found["training_passages_recited_fraction"] = recited.get("verbatim_fraction")
    found["preference_accuracy"] = (evaluation.get("preferences") or {}).get("accuracy")
    for kind, rates in ((evaluation.get("recall") or {}).get("model") or {}).items():
        for mark in ("exact", "abstained"):
            found[f"questions_{kind}_{mark}_fraction"] = (rates or {}).get(f"{mark}_fraction")
    for task, figures in (evaluation.get("tasks") or {}).items():
        found[f"task_{task}"] = figures.get(figures.get("main"))
    for name in listed:
        yield name, found.get(name)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _rounded(value: float) -> float:
    """Return a number to a few digits: the rest is noise, and could be a mark."""
    return value if isinstance(value, int) else float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def _version(text: Any) -> str:
    """Return the numbers a version begins with; what a build adds (`+cpu`, `.dev0+g1234`) may name its maker."""
    match = re.match(r"\d{1,6}(\.\d{1,6}){0,3}", str(text))
    return match[0] if match else "0"


def _at(tree: Any, key: KeyPath) -> Any:
    for part in key:
        tree = tree.get(part) if isinstance(tree, Mapping) else None
    return tree
