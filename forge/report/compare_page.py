"""Several runs as one HTML file: what was set otherwise, what came of it, and their curves above each other.

`forge compare` shows two or more; a sweep and a ladder have the same parts below their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

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

Named = tuple[str, RunRecord]
"""A run, and what it is called beside others."""


def compare_page(
    title: str, records: Sequence[RunRecord], comparisons: Sequence[Mapping[str, Any] | None]
) -> str:
    """Return the page of some runs, the first of which the others are held against.

    Args:
        title: of the page; plain text.
        records: of the runs, two or more.
        comparisons: of each run but the first, what `compare_runs` found of the first and it; None where one of the
            two is not evaluated.
    """
    sections = beside_sections([(record.folder.name, record) for record in records], comparisons)
    return page(title, GENERATOR, _head(title, records, comparisons), sections, style=STYLE, script=HOVER)


def beside_sections(
    runs: Sequence[Named],
    comparisons: Sequence[Mapping[str, Any] | None],
    background: Sequence[Named] = (),
) -> list[Section]:
    """Return what shows some runs beside each other.

    Args:
        runs: one or more.
        comparisons: as for `compare_page`.
        background: runs of which only the curves of loss are drawn, in grey.
    """
    (first, _), *others = runs
    evaluations = "".join(
        f"<h3>{text(name)}</h3>{regression_part(found, first)}"
        for (name, _), found in zip(others, comparisons, strict=True)
        if found is not None
    )
    return [
        Section("differs", "What was set otherwise", _differences(runs) if others else ""),
        Section("figures", "What came of it", _figures(runs)),
        Section("training", "Training", _curves(runs, background)),
        Section("evaluation", "Evaluation", evaluations),
        Section("measured", "Predicted beside measured", _measured(runs)),
    ]


def _head(title: str, records: Sequence[RunRecord], comparisons: Sequence[Mapping[str, Any] | None]) -> str:
    """Return the title, and for each comparison what it says of the text and of the questions."""
    lines = []
    for record, found in zip(records[1:], comparisons, strict=True):
        said = "one of the two is not evaluated" if found is None else "; ".join(change_lines(found))
        lines.append(f"{records[0].folder.name} to {record.folder.name}: {said}")
    shown = "".join(f'<p class="verdict">{text(line)}.</p>' for line in lines)
    return f"<h1>{text(title)}</h1>{shown}"


def _differences(runs: Sequence[Named]) -> str:
    """Return every key of the specs, and every source's content, that is not the same in all runs."""
    sides = [
        dict(leaves(record.plan.spec))
        | {f"content of {source.path}": source.sha256[:12] for source in record.plan.sources}
        | {"forge": record.plan.forge_version}
        for _, record in runs
    ]
    keys = [key for key in dict.fromkeys(key for side in sides for key in side) if not _same(sides, key)]
    rows = [
        (key, *(shown_value(side[key]) if key in side else "" for side in sides)) for key in keys[:MOST_KEYS]
    ]
    if not rows:
        return "<p>Nothing: the plans were compiled from the same values, data and code.</p>"
    rest = len(keys) - len(rows)
    more = f'<p class="quiet small">and {rest:,} more: forge plan --diff has all</p>' if rest else ""
    return table(("", *_names(runs)), rows) + more


def _names(runs: Sequence[Named]) -> list[str]:
    return [name for name, _ in runs]


def _same(sides: Sequence[Mapping[str, Any]], key: str) -> bool:
    return all(key in side and side[key] == sides[0].get(key) for side in sides)


def _figures(runs: Sequence[Named]) -> str:
    rows: dict[str, list[str]] = {}
    for place, (_, record) in enumerate(runs):
        for name, value in _figures_of(record).items():
            rows.setdefault(name, [""] * len(runs))[place] = value
    numbers = set(range(1, len(runs) + 1))
    shown = table(("", *_names(runs)), [(name, *values) for name, values in rows.items()], numbers=numbers)
    return f'<div class="beside">{shown}</div>'


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


def _measured(runs: Sequence[Named]) -> str:
    rows = []
    for key, (name, form) in QUANTITIES.items():
        cells = []
        for _, record in runs:
            pair = record.measured().get(key)
            cells.append("" if pair is None else f"{form(pair[0])} / {form(pair[1])} ({error_text(pair)})")
        if any(cells):
            rows.append((name, *cells))
    numbers = set(range(1, len(runs) + 1))
    shown = table(("predicted / measured (error)", *_names(runs)), rows, numbers=numbers)
    return f'<div class="beside">{shown}</div>' if shown else ""


def _curves(runs: Sequence[Named], background: Sequence[Named]) -> str:
    """Return the runs' curves in common panels, over tokens where their batches differ, else over steps."""
    everyone = [record for _, record in (*runs, *background)]
    by_tokens = len({record.plan.schedule.global_batch_tokens for record in everyone}) > 1
    own = _Curves(runs, by_tokens)
    grey = _Curves(background, by_tokens, is_background=True)
    panels = [
        Panel(
            "loss",
            "smoothed, nats a token",
            (*grey.of("smoothed_loss"), *own.of("smoothed_loss")),
            height_px=240,
        ),
        Panel("held-out loss", "nats a token", (*grey.held_out(), *own.held_out()), height_px=160),
        Panel("learning rate", "", own.of("learning_rate"), from_zero=True, height_px=100),
        Panel("gradient norm", "before clipping", own.of("gradient_norm"), height_px=100),
        Panel("tokens a second", "", own.of("tokens_per_second"), from_zero=True, height_px=100),
        Panel(
            "MFU",
            "of the datasheet's peak",
            own.of("model_flops_utilization"),
            from_zero=True,
            height_px=100,
        ),
    ]
    last = max(record.plan.schedule.steps * _scale(record, by_tokens) for record in everyone)
    return chart("training of the runs", panels, StepAxis(last=last, name="tokens" if by_tokens else "step"))


def _scale(record: RunRecord, by_tokens: bool) -> int:
    return record.plan.schedule.global_batch_tokens if by_tokens else 1


@dataclass(frozen=True, slots=True)
class _Curves:
    """The curves of some runs, each in the color of its place."""

    runs: Sequence[Named]
    by_tokens: bool
    is_background: bool = False

    def of(self, measure: str) -> tuple[Series, ...]:
        """Return one of the measures of `forge.run.history` of all runs."""
        points = [record.history.series(measure) for _, record in self.runs]
        return self._series(points, "line")

    def held_out(self) -> tuple[Series, ...]:
        """Return the held-out losses of all runs."""
        points = [record.history.evaluated("held_out_loss") for _, record in self.runs]
        return self._series(points, "dots")

    def _series(
        self, points: Sequence[tuple[list[float], list[float]]], kind: Literal["line", "dots"]
    ) -> tuple[Series, ...]:
        series = []
        for place, (name, record) in enumerate(self.runs):
            steps, values = points[place]
            scale = _scale(record, self.by_tokens)
            at = [step * scale for step in steps]
            series.append(
                Series(name, at, values, place % COLORS, "background" if self.is_background else kind)
            )
        return tuple(series)
