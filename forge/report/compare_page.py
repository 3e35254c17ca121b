"""Several runs as one HTML file: what was set otherwise, what came of it, and their curves above each other.

`forge compare` shows two or more; a sweep shows its points, with a table of its own above.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from forge.report.chart import HOVER, Panel, Series, StepAxis, chart
from forge.report.evaluation_part import regression_part
from forge.report.page import Section, page, table, text
from forge.report.plan_part import QUANTITIES, error_text
from forge.report.provenance_part import leaves, shown_value
from forge.report.record import RunRecord
from forge.report.run_page import GENERATOR, STYLE
from forge.report.verdict import model_name, state_of
from forge.run.evaluation_words import change_lines
from forge.run.quantities import count

COLORS = 8
MOST_KEYS = 80


def compare_page(
    title: str,
    records: Sequence[RunRecord],
    comparisons: Sequence[Mapping[str, Any] | None],
    table_above: str = "",
) -> str:
    """Return the page of some runs, the first of which the others are held against.

    Args:
        title: of the page; plain text.
        records: of the runs, two or more.
        comparisons: of each run but the first, what `compare_runs` found of the first and it; None where one of the
            two is not evaluated.
        table_above: HTML shown first: a sweep's own table of its points.
    """
    names = [record.folder.name for record in records]
    others = [
        f"<h3>{text(name)}</h3>{regression_part(found, names[0])}"
        for name, found in zip(names[1:], comparisons, strict=True)
        if found is not None
    ]
    sections = [
        Section("points", "Points", table_above),
        Section("differs", "What was set otherwise", _differences(records)),
        Section("figures", "What came of it", _figures(records)),
        Section("training", "Training", _curves(records)),
        Section("evaluation", "Evaluation", "".join(others)),
        Section("measured", "Predicted beside measured", _measured(records)),
    ]
    return page(title, GENERATOR, _head(title, records, comparisons), sections, style=STYLE, script=HOVER)


def _head(title: str, records: Sequence[RunRecord], comparisons: Sequence[Mapping[str, Any] | None]) -> str:
    """Return the title, and for each comparison what it says of the text and of the questions."""
    lines = []
    for record, found in zip(records[1:], comparisons, strict=True):
        said = "one of the two is not evaluated" if found is None else "; ".join(change_lines(found))
        lines.append(f"{records[0].folder.name} to {record.folder.name}: {said}")
    shown = "".join(f'<p class="verdict">{text(line)}.</p>' for line in lines)
    return f"<h1>{text(title)}</h1>{shown}"


def _differences(records: Sequence[RunRecord]) -> str:
    """Return every key of the specs, and every source's content, that is not the same in all runs."""
    sides = [
        dict(leaves(record.plan.spec))
        | {f"content of {source.path}": source.sha256[:12] for source in record.plan.sources}
        | {"forge": record.plan.forge_version}
        for record in records
    ]
    keys = [key for key in dict.fromkeys(key for side in sides for key in side) if not _same(sides, key)]
    rows = [
        (key, *(shown_value(side[key]) if key in side else "" for side in sides)) for key in keys[:MOST_KEYS]
    ]
    if not rows:
        return "<p>Nothing: the plans were compiled from the same values, data and code.</p>"
    rest = len(keys) - len(rows)
    more = f'<p class="quiet small">and {rest:,} more: forge plan --diff has all</p>' if rest else ""
    return table(("", *(record.folder.name for record in records)), rows) + more


def _same(sides: Sequence[Mapping[str, Any]], key: str) -> bool:
    return all(key in side and side[key] == sides[0].get(key) for side in sides)


def _figures(records: Sequence[RunRecord]) -> str:
    rows: dict[str, list[str]] = {}
    for place, record in enumerate(records):
        for name, value in _figures_of(record).items():
            rows.setdefault(name, [""] * len(records))[place] = value
    numbers = set(range(1, len(records) + 1))
    head = ("", *(record.folder.name for record in records))
    return table(head, [(name, *values) for name, values in rows.items()], numbers=numbers)


def _figures_of(record: RunRecord) -> dict[str, str]:
    history, plan = record.history, record.plan
    found = {
        "state": state_of(record)[0],
        "model": model_name(plan),
        "steps": f"{history.last_step:,} of {plan.schedule.steps:,}",
        "tokens": count(plan.schedule.tokens),
    }
    corpus, evaluation, training = (record.summary(stage) for stage in ("corpus", "evaluate", "train"))
    if corpus is not None:
        found["documents kept"] = f"{corpus['documents']:,}"
    if evaluation is not None:
        found["held-out bits per byte"] = f"{evaluation['held_out_bits_per_byte']:.4f}"
        if evaluation["recall"] is not None and "known" in evaluation["recall"]["model"]:
            found["questions right"] = f"{evaluation['recall']['model']['known']['exact_fraction']:.1%}"
    if training is not None:
        found["final loss"] = f"{training['final_loss']:.4f}"
        found["restarts"] = str(training["restarts"])
    measured = record.measured()
    for key, (name, form) in QUANTITIES.items():
        if key in measured:
            found[name] = form(measured[key][1])
    return found


def _measured(records: Sequence[RunRecord]) -> str:
    rows = []
    for key, (name, form) in QUANTITIES.items():
        cells = []
        for record in records:
            pair = record.measured().get(key)
            cells.append("" if pair is None else f"{form(pair[0])} / {form(pair[1])} ({error_text(pair)})")
        if any(cells):
            rows.append((name, *cells))
    return table(
        ("predicted / measured (error)", *(record.folder.name for record in records)),
        rows,
        numbers=set(range(1, len(records) + 1)),
    )


def _curves(records: Sequence[RunRecord]) -> str:
    """Return the runs' curves in common panels, over tokens where their batches differ, else over steps."""
    batches = {record.plan.schedule.global_batch_tokens for record in records}
    by_tokens = len(batches) > 1
    panels = [
        _panel(records, by_tokens, "loss", "smoothed, nats a token", "smoothed_loss", height_px=240),
        _held_out(records, by_tokens),
        _panel(records, by_tokens, "learning rate", "", "learning_rate", from_zero=True),
        _panel(records, by_tokens, "gradient norm", "before clipping", "gradient_norm"),
        _panel(records, by_tokens, "tokens a second", "", "tokens_per_second", from_zero=True),
        _panel(
            records, by_tokens, "MFU", "of the datasheet's peak", "model_flops_utilization", from_zero=True
        ),
    ]
    last = max(record.plan.schedule.steps * _scale(record, by_tokens) for record in records)
    axis = StepAxis(last=last, name="tokens" if by_tokens else "step")
    return chart("training of the runs", panels, axis)


def _scale(record: RunRecord, by_tokens: bool) -> int:
    return record.plan.schedule.global_batch_tokens if by_tokens else 1


def _panel(
    records: Sequence[RunRecord],
    by_tokens: bool,
    title: str,
    unit: str,
    measure: str,
    height_px: int = 100,
    from_zero: bool = False,
) -> Panel:
    series = []
    for place, record in enumerate(records):
        steps, values = record.history.series(measure)
        scale = _scale(record, by_tokens)
        series.append(Series(record.folder.name, [step * scale for step in steps], values, place % COLORS))
    return Panel(title, unit, tuple(series), height_px=height_px, from_zero=from_zero)


def _held_out(records: Sequence[RunRecord], by_tokens: bool) -> Panel:
    series = []
    for place, record in enumerate(records):
        steps, values = record.history.evaluated("held_out_loss")
        scale = _scale(record, by_tokens)
        series.append(
            Series(record.folder.name, [step * scale for step in steps], values, place % COLORS, "dots")
        )
    return Panel("held-out loss", "nats a token", tuple(series), height_px=160)
