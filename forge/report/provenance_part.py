"""Where everything of a run comes from on its page: who set each value, what it hangs on, with what it was made."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from forge.report.page import table, text
from forge.report.record import RunRecord
from forge.run.origins import Chains
from forge.run.quantities import size

SHOWN_CHARACTERS = 300
SECRETS = frozenset({"data.redact_salt"})
"""Keys whose values a page does not show: it is passed on more easily than a plan."""


def provenance_part(record: RunRecord) -> str:
    """Return the spec with the place of every value, hashes and versions."""
    return (
        f"{_spec(record)}<h3>What it hangs on</h3>{_hashes(record)}"
        f"<h3>Made with</h3>{table(('', ''), _versions(record))}"
    )


def leaves(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and the value of everything in a spec, in its order."""
    for key, value in values.items():
        below = f"{path}.{key}" if path else key
        if isinstance(value, Mapping) and value:
            yield from leaves(value, below)
        else:
            yield below, _withheld(below, value)


def _withheld(key: str, value: Any) -> Any:
    return "(not shown)" if key in SECRETS and value is not None else value


def shown_value(value: Any) -> str:
    """Return a value of a spec on one line, cut where it is long."""
    line = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return line if len(line) <= SHOWN_CHARACTERS else f"{line[:SHOWN_CHARACTERS]} …"


def _spec(record: RunRecord) -> str:
    chains = record.origins
    if chains is None:
        rows = [
            (text(key), f"<code>{text(shown_value(value))}</code>") for key, value in leaves(record.plan.spec)
        ]
        return (
            "<p>Who set the values was not kept: the run carries out a plan that was compiled elsewhere, or is of an "
            f"older forge. The spec is the plan's.</p><details><summary>{len(rows)} values</summary>"
            f"{table(('key', 'value'), rows, raw=True)}</details>"
        )
    rows_of: dict[bool, list[tuple[str, ...]]] = {True: [], False: []}
    for key, value in leaves(record.plan.spec):
        chain = chains.get(key) or _above(chains, key)
        where = chain[0]["where"] if chain else "follows from others"
        chosen = bool(chain) and not where.startswith("conf/")
        before = [f"{shown_value(_withheld(key, one['value']))} in {one['where']}" for one in chain[1:]]
        rows_of[chosen].append(
            (
                text(key),
                f"<code>{text(shown_value(value))}</code>",
                f'<span class="code where">{text(where)}</span>',
                f'<span class="quiet small">{text("; ".join(before))}</span>',
            )
        )
    head = ("key", "value", "set by", "in place of")
    choices = [
        (key, str(chain[0]["value"]), chain[0]["where"])
        for key, chain in chains.items()
        if key in record.plan.spec and isinstance(record.plan.spec[key], Mapping) and chain
    ]
    return (
        f"<h3>Chosen for this run</h3>{table(('group', 'option', 'chosen by'), choices)}"
        f"{table(head, rows_of[True], raw=True)}"
        f"<details><summary>{len(rows_of[False])} values as forge has them, each with its place</summary>"
        f"{table(head[:3], [row[:3] for row in rows_of[False]], raw=True)}</details>"
    )


def _above(chains: Chains, key: str) -> list[dict[str, Any]]:
    """Return who set the nearest key above: a list or mapping is set as a whole."""
    while "." in key:
        key = key.rpartition(".")[0]
        if key in chains:
            return chains[key]
    return []


def _hashes(record: RunRecord) -> str:
    plan = record.plan
    rows = [("plan", plan.id, "hash of its content; plan.json, schemas/plan.schema.json")]
    rows += [
        (f"source {source.path}", source.sha256, f"{source.files:,} files, {size(source.bytes)}")
        for source in (*plan.sources, *plan.initial_weights)
    ]
    for stage in plan.stages:
        artifact = record.artifacts.get(stage.name)
        made = "not there yet" if artifact is None else f"artifacts/{artifact.folder.name}"
        rows.append((f"stage {stage.name}", stage.key, made))
    tokens = record.summary("tokens")
    rows += [(name, digest, "tokens") for name, digest in (tokens or {}).get("sha256", {}).items()]
    shown = [
        (text(name), f'<span class="code">{text(digest)}</span>', text(what)) for name, digest, what in rows
    ]
    return table(("", "hash", ""), shown, raw=True)


def _versions(record: RunRecord) -> list[tuple[str, str]]:
    """Return versions as the training and the export noted them when they ran."""
    training, export = record.summary("train") or {}, record.summary("export") or {}
    versions = (
        {"forge": record.plan.forge_version} | training.get("versions", {}) | export.get("versions", {})
    )
    return [(name, str(version)) for name, version in versions.items()]
