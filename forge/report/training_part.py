"""A run's training on its page: its curves above one axis of steps and time, and what happened on the way."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from forge.plan.types import Plan
from forge.report.chart import Mark, Panel, Series, StepAxis, chart
from forge.report.page import table, text
from forge.report.record import RunRecord
from forge.run.history import Happening, History
from forge.run.quantities import count, counted, duration

LANES: Mapping[str, tuple[str, bool, bool]] = {
    # kind of happening: (lane, drawn through all panels, bad)
    "checkpoint": ("saved", False, False),
    "restart": ("failures", True, True),
    "resumed": ("resumed", True, False),
    "skipped": ("skipped", True, True),
    "going back": ("spikes", True, True),
    "phase": ("phases", True, False),
}
GIB, MIB = 1024**3, 1024**2
MOST_LISTED = 60
FAR_APART = 50
"""Highest over lowest from which an axis is logarithmic."""


def training_part(record: RunRecord) -> str:
    """Return the curves, and what happened; nothing before the first step."""
    history, plan = record.history, record.plan
    curves = curves_of(history, plan)
    if not curves:
        return ""
    axis = StepAxis(last=plan.schedule.steps, time_s=_time_at(history))
    drawn = chart(f"training of {plan.name}", curves, axis, marks_of(history))
    return f"{_said(record)}{drawn}{_without(plan, history)}{_happenings(history)}{_phases(record)}"


def curves_of(history: History, plan: Plan) -> list[Panel]:
    """Return the panels of one training."""
    steps, losses = history.series("loss")
    if not steps:
        return []
    nats = "nats a pair" if plan.schedule.task == "dpo" else "nats a token"
    return [
        Panel(
            "loss",
            nats,
            (
                Series("each step", steps, losses, 0, "faint"),
                Series("smoothed", *history.series("smoothed_loss"), 0),
                Series("held out", *history.evaluated("held_out_loss"), 1, "dots"),
            ),
            height_px=240,
        ),
        _one(history, "learning rate", "", "learning_rate", 2, from_zero=True),
        _norm(history),
        _one(history, "tokens a second", "", "tokens_per_second", 4, from_zero=True),
        _one(history, "MFU", "of the datasheet's peak", "model_flops_utilization", 5, from_zero=True),
        _memory(history),
        Panel(
            "preferred answers",
            "share that gains more",
            (
                Series("each step", *history.series("preference_accuracy"), 0, "faint"),
                Series("held out", *history.evaluated("held_out_preference_accuracy"), 1, "dots"),
            ),
        ),
        _one(history, "busiest expert", "over the mean", "expert_load_max_over_mean", 6),
    ]


def marks_of(history: History) -> list[Mark]:
    """Return what happened, as marks, in the order of LANES."""
    order = list(LANES)
    known = [one for one in history.happenings if one.kind in LANES]
    return [
        Mark(LANES[one.kind][0], one.step, one.text, LANES[one.kind][1], LANES[one.kind][2])
        for one in sorted(known, key=lambda one: (order.index(one.kind), one.step))
    ]


def _one(history: History, title: str, unit: str, measure: str, color: int, from_zero: bool = False) -> Panel:
    return Panel(
        title, unit, (Series(title, *history.series(measure), color),), from_zero=from_zero, height_px=90
    )


def _memory(history: History) -> Panel:
    steps, peaks_bytes = history.series("peak_memory_bytes")
    scale, unit = (GIB, "GiB") if max(peaks_bytes, default=0) >= 2 * GIB else (MIB, "MiB")
    held = Series("held so far", steps, [peak / scale for peak in peaks_bytes], 7)
    return Panel("peak memory", f"{unit}, rank 0", (held,), from_zero=True, height_px=80)


def _norm(history: History) -> Panel:
    steps, norms = history.series("gradient_norm")
    above = [norm for norm in norms if norm > 0]
    wide = bool(above) and len(above) == len(norms) and max(above) > FAR_APART * min(above)
    return Panel(
        "gradient norm",
        "before clipping, logarithmic" if wide else "before clipping",
        (Series("gradient norm", steps, norms, 3),),
        logarithmic=wide,
        from_zero=True,
        height_px=90,
    )


def _time_at(history: History) -> Callable[[float], float | None]:
    """Return what says the seconds of training spent by a step, between logged ones by proportion."""
    steps = list(history.steps)
    times_s = [history.steps[step]["training_s"] or 0.0 for step in steps]

    def time_s(step: float) -> float | None:
        place = bisect_right(steps, step) - 1
        if place < 0 or step > steps[-1]:
            return None
        if steps[place] == step:
            return times_s[place]
        share = (step - steps[place]) / (steps[place + 1] - steps[place])
        return times_s[place] + share * (times_s[place + 1] - times_s[place])

    return time_s


def _said(record: RunRecord) -> str:
    history, plan = record.history, record.plan
    done = f"{history.last_step:,} of {plan.schedule.steps:,} steps"
    skipped = sum(one.kind == "skipped" for one in history.happenings)
    restarts = sum(one.kind == "restart" for one in history.happenings)
    parts = [
        f"{done} of {plan.schedule.global_batch_tokens:,} tokens in {duration(history.training_s)} of training",
        counted(history.attempts, "start"),
        counted(restarts, "restart") + " after a failure",
        counted(sum(one.kind == "checkpoint" for one in history.happenings), "checkpoint"),
        counted(skipped, "step") + " passed over",
    ]
    below = "Below the steps stands the time spent in training, pauses between starts left out."
    return f'<p>{text(", ".join(parts))}.</p><p class="quiet small">{text(below)}</p>'


def _without(plan: Plan, history: History) -> str:
    if history.series("model_flops_utilization")[0]:
        return ""
    why = (
        "a CPU has no datasheet's peak to hold it against"
        if plan.layout.device == "cpu"
        else "none was logged"
    )
    return f'<p class="quiet small">No MFU: {text(why)}.</p>'


def _happenings(history: History) -> str:
    """Return what happened as a table, so that a page on paper has it."""
    said = [one for one in history.happenings if one.kind != "checkpoint"]
    if not said:
        return ""
    rows = [(_moment(one), f"{one.step:,}", one.text) for one in said[:MOST_LISTED]]
    rest = len(said) - len(rows)
    more = f'<p class="quiet small">and {rest:,} more: events.jsonl has all</p>' if rest else ""
    return f"<h3>On the way</h3>{table(('when (UTC)', 'step', ''), rows, numbers={1})}{more}"


def _moment(one: Happening) -> str:
    return f"{datetime.fromtimestamp(one.time, UTC):%Y-%m-%d %H:%M:%S}"


def _phases(record: RunRecord) -> str:
    phases, read = record.plan.schedule.phases, record.history.source_tokens
    if not phases:
        return ""
    rows = [
        (
            f"{number}",
            f"{phase.first_step:,} to {phase.first_step + phase.steps - 1:,}",
            ", ".join(f"{source} × {weight:g}" for source, weight in phase.source_weights.items()),
        )
        for number, phase in enumerate(phases, 1)
    ]
    tokens = [(source, count(tokens)) for source, tokens in (read or {}).items()]
    return (
        f"<h3>Curriculum</h3>{table(('phase', 'steps', 'sources'), rows)}"
        f"{table(('source', 'tokens read'), tokens, numbers={1})}"
    )
