"""A recipe that acts on the findings of an audit: the steps of curation they call for, and why each is there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from forge.data.audit.stale import DEAD_LINK, OLDER_VERSION

FIX_MARK = "# From the audit of "


def fix_spec(report: Mapping[str, Any], file: Path) -> str:
    """Return a recipe to stand in `file`: the steps, what each acts on, and what a person has to settle.

    It does not say where the documents are, which a recipe may not: the command that uses it does.
    """
    steps: list[tuple[str, str]] = [("repair", "broken encodings, control characters")]
    settings: dict[str, Any] = {}
    if report["boilerplate"]:
        why = f"of {len(report['boilerplate'])} lines that many documents share, those at the edges of most of a folder"
        steps.append(("boilerplate", why))
    steps.append(("quality", "the limits of data.*"))
    duplicates = report["duplicates"]
    # Copies first: of an older version no copy may stay behind.
    if duplicates["exact"]:
        steps.append(("exact_duplicates", f"{_extra(duplicates['exact'])} copies"))
    if report["versions"]:
        older = sum(len(family["members"]) - 1 for family in report["versions"])
        steps.append(("superseded", f"{older} older versions in {len(report['versions'])} families"))
    # Behind the versions: of a family whose newest is over no older one may stay.
    if alone := _stale_alone(report):
        steps.append(("stale", f"{len(alone)} documents that say they are over"))
        settings["stale_on"] = report["as_of"]
    if duplicates["near"]:
        near = [one["documents"] for one in duplicates["near"]]
        steps.append(("near_duplicates", f"{_extra(near)} near copies"))
    kinds = report["secrets"]["by_kind"]
    if kinds:
        steps.append(("redact", f"{sum(kind['values'] for kind in kinds)} secrets and personal data"))
        settings["redact_kinds"] = sorted(kind["kind"] for kind in kinds)
    body = [
        f"{FIX_MARK}{', '.join(report['paths'])} on {report['as_of']}. Use it with",
        f"#   {use_command(report['paths'], file)}",
        "# To build on another recipe, add a line: defaults: [legal_tiny, override /data: folder]",
        "data:",
    ]
    body += ["  curate:", *(f"    - {name}  # {why}" for name, why in steps), *_yaml(settings)]
    return "\n".join([*body, *_by_hand(report)]) + "\n"


def use_command(paths: Sequence[str], file: Path) -> str:
    """Return the command, ready for a shell, that trains on `paths` curated as `file` says."""
    place = file.absolute().parent
    found = "" if place == Path.cwd() / "recipes" else f"FORGE_RECIPE_PATH={shlex.quote(str(place))} "
    value = _hydra(paths[0]) if len(paths) == 1 else f"[{','.join(map(_hydra, paths))}]"
    return f"{found}forge-run +recipe={file.stem} {shlex.quote(f'data.path={value}')}"


def _hydra(text: str) -> str:
    """Return `text` as Hydra's grammar wants it: in quotes where it has more than plain characters."""
    if re.fullmatch(r"[A-Za-z0-9_./:%+~-]+", text):
        return text
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _extra(groups: list[Any]) -> int:
    return sum(len(group) - 1 for group in groups)


def _yaml(values: Mapping[str, Any]) -> list[str]:
    if not values:
        return []
    text = yaml.safe_dump(dict(values), allow_unicode=True, default_flow_style=False)
    return [f"  {line}" for line in text.splitlines()]


def _by_hand(report: Mapping[str, Any]) -> list[str]:
    """Return comments on what no step can settle: which side of a conflict is right, where a link should lead."""
    lines = []
    if report["conflicts"]:
        lines.append(
            f"# {len(report['conflicts'])} conflicts: correct one side of each in the documents themselves."
        )
        lines += [
            f"#   {_one_line(one['subject'])}, {_one_line(one['attribute'])}: {_side(one['first'])} or "
            f"{_side(one['second'])}"
            for one in report["conflicts"]
        ]
    dead = [one for one in report["stale"] if {reason["reason"] for reason in one["reasons"]} == {DEAD_LINK}]
    if dead:
        lines.append(f"# {len(dead)} documents link to what is gone, and stay: mend them.")
        lines += [f"#   {_one_line(one['document']['path'])}" for one in dead]
    return lines


def _stale_alone(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the stale documents that say so of themselves."""
    others = {DEAD_LINK, OLDER_VERSION}
    return [
        one for one in report["stale"] if any(reason["reason"] not in others for reason in one["reasons"])
    ]


def _side(claim: Mapping[str, Any]) -> str:
    return f"{_one_line(claim['value'])} ({_one_line(claim['document']['path'])})"


def _one_line(text: str) -> str:
    return " ".join(text.split())
