"""Writes docs/reference.md: every key of a spec, from the schemas and from a plan that was compiled.

python docs/reference.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import forge
from forge.spec.schema import SpecSchema, load_schema_file, spec_schema
from forge.spec.search_path import default_search_path
from forge.spec.types import KeyPath

PAGE = Path(__file__).with_name("reference.md")

OPENING = """# Every key of a spec

Made from `schemas/` by `python docs/reference.py`. A value comes from `conf/`, a recipe or the command line
(`forge-run train.learning_rate=1e-3`); `forge plan --why KEY` says from where. *Own* marks keys that a recipe may not
set, only your own conf folder or command line: they name programs, addresses or places. *Read by* names the stages that
take the key as it is (a change makes them, and what follows them, anew); `plan` means that the planner turns it into
layout, schedule or shape.
"""

READ_ELSEWHERE = {
    ("name",): "run folder, export",
    ("output_dir",): "run",
    ("hostfile",): "train",
    ("remote_shell",): "train",
    ("data", "path"): "lake",
    ("data", "engine"): "run",
    ("data", "engine_address"): "run",
    ("track",): "run",
    ("evaluate", "gates"): "run, after evaluate",
}
"""Keys, and beginnings of keys, whose values no stage holds under their name."""

SMALL_PLAN = ("recipe=legal_tiny", "hardware=cpu", "data.path=null")


def reference() -> str:
    """Return the text of docs/reference.md."""
    schema = spec_schema()
    stages = _stage_parameters()
    sections = [OPENING, _section("A run", _own_keys(schema), schema, stages)]
    for group in schema.groups:
        content = load_schema_file(group)
        options = ", ".join(f"`{name}`" for name in _options(group))
        keys = [key for key in schema.leaves if key[0] == group]
        head = f"{content['title']}: `{group}`"
        text = f"{content['description']}\n\nOptions (`{group}=NAME`): {options}."
        sections.append(_section(head, keys, schema, stages, text))
    return "\n".join(sections)


def _stage_parameters() -> dict[str, dict[str, Any]]:
    plan = forge.compile_plan(forge.compose(*SMALL_PLAN))
    return {stage.name: stage.parameters for stage in plan.stages}


def _options(group: str) -> tuple[str, ...]:
    built_in = {file.stem for file in default_search_path().roots[1].folder.glob(f"{group}/*.yaml")}
    names = tuple(sorted(name for name in built_in if not name.startswith("_")))
    return (*names, "8xh100", "2x8xa100", "...") if group == "hardware" else names


def _own_keys(schema: SpecSchema) -> list[KeyPath]:
    return [key for key in schema.leaves if len(key) == 1]


def _section(
    title: str,
    keys: list[KeyPath],
    schema: SpecSchema,
    stages: dict[str, dict[str, Any]],
    text: str = "",
) -> str:
    rows = [
        "| key | what | type | unit | default | read by |",
        "|---|---|---|---|---|---|",
        *(_row(key, schema.leaves[key], stages) for key in keys),
    ]
    return "\n".join([f"## {title}\n", *([text, ""] if text else []), *rows, ""])


def _row(key: KeyPath, node: dict[str, Any], stages: dict[str, dict[str, Any]]) -> str:
    what = node["description"]
    if node.get("x-forge-trusted"):
        what += " *Own.*"
    cells = [
        f"`{'.'.join(key)}`",
        what,
        ", ".join(_types(node)),
        node.get("x-forge-unit", ""),
        f"`{json.dumps(node['default'], ensure_ascii=False)}`" if "default" in node else "",
        _read_by(key, stages),
    ]
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _types(node: dict[str, Any]) -> Iterator[str]:
    if "enum" in node:
        yield " ".join(f"`{value}`" for value in node["enum"])
        return
    kinds = node["type"] if isinstance(node["type"], list) else [node["type"]]
    for kind in kinds:
        if kind in ("integer", "number"):
            yield f"{kind}{_bounds(node)}"
        elif kind == "array":
            inner = node.get("items", {})
            of = inner.get("type", "value")
            values = [f"`{value}`" for value in inner.get("enum", ())]
            yield f"list of {' '.join(values or ([of] if isinstance(of, str) else of))}"
        else:
            yield {"object": "mapping", "boolean": "`true` `false`"}.get(kind) or str(kind)


def _bounds(node: dict[str, Any]) -> str:
    low = f"≥ {node['minimum']}" if "minimum" in node else ""
    if "exclusiveMinimum" in node:
        low = f"> {node['exclusiveMinimum']}"
    # Bounds that only keep nonsense out tell nobody anything.
    most = node.get("maximum")
    high = f"≤ {most}" if most is not None and most <= 100 else ""
    bounds = ", ".join(filter(None, (low, high)))
    return f" {bounds}" if bounds else ""


def _read_by(key: KeyPath, stages: dict[str, dict[str, Any]]) -> str:
    if elsewhere := READ_ELSEWHERE.get(key) or READ_ELSEWHERE.get(key[:2]) or READ_ELSEWHERE.get(key[:1]):
        return elsewhere
    group = key[0]
    if group in ("model", "hardware", "train", "engine"):
        return "plan"
    # The stages of these groups are called as they are; keys of data and the seed are read by several.
    own = (group,) if group in ("tokenizer", "evaluate", "export") else tuple(stages)
    readers = [stage for stage in own if key[-1] in stages[stage]]
    return ", ".join(readers) or "plan"


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
