"""A run's plan on its page: what was decided, the memory, what else was considered, and how right it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from forge.plan.types import MemoryItem, Plan
from forge.report.page import table, text
from forge.report.record import RunRecord
from forge.run.plan_facts import layouts_to_show, plan_facts
from forge.run.quantities import duration, figure, money, size

PLAN_STYLE = """
.facts td:first-child { color: var(--quiet); white-space: nowrap; width: 7rem; }
.fall { display: grid; grid-template-columns: minmax(7.5rem, max-content) max-content 1fr; gap: .22rem .8rem;
  align-items: center; margin: .6rem 0; } .fall .n { text-align: right; font-variant-numeric: tabular-nums; }
.fall .track { position: relative; height: 1rem; background: var(--panel); border-radius: 2px; }
.fall .track i { position: absolute; top: 0; bottom: 0; background: var(--bar); border-radius: 1px; min-width: 1px; }
.fall .total { font-weight: 600; } .fall .measured i { background: var(--s1); }
.fall .track u { position: absolute; top: -.15rem; bottom: -.15rem; border-left: 2px solid var(--bad); }
@media print { .fall .track { border: 1px solid var(--line); } }
"""

QUANTITIES: dict[str, tuple[str, Callable[[float], str]]] = {
    "wall_clock_s": ("wall-clock time of training", duration),
    "training_time_s": ("time of all steps", duration),
    "step_time_s": ("step time", lambda value: f"{figure(value)} s"),
    "tokens_per_second": ("tokens a second", figure),
    "model_flops_utilization": ("MFU", lambda value: f"{value:.1%}"),
    "peak_memory_bytes": ("peak memory", size),
    "cost_usd": ("cost", money),
}
RATES = frozenset({"tokens_per_second", "model_flops_utilization"})
"""Quantities that are so much a second: their band is that of the time, else one step would be in and out of it."""
_LIMIT = "<!--limit-->"
MOST_ROOM = 4
"""Where a device has more than so many times what is used, the bars are of what is used."""


def plan_part(record: RunRecord) -> str:
    """Return what was decided, and what else was considered."""
    plan = record.plan
    facts = table(("", ""), [(name, line) for name, line in plan_facts(plan)])
    warned = "".join(f'<p class="warn">{text(line)}</p>' for line in plan.estimates.warnings)
    return (
        f'<div class="facts">{facts}</div>{warned}<h3>Memory of a {_device(plan)}, as planned</h3>{_memory(record)}'
        f"<h3>Layouts considered</h3>{_alternatives(plan)}"
    )


def measured_part(record: RunRecord) -> str:
    """Return what was predicted beside what was measured, each with its error; nothing before there is any."""
    pairs = record.measured()
    _, utilization = record.history.series("model_flops_utilization")
    predicted = record.plan.estimates.model_flops_utilization
    if pairs and utilization and predicted is not None:
        pairs = pairs | {"model_flops_utilization": [predicted, sorted(utilization)[len(utilization) // 2]]}
    rows = []
    for key, (name, form) in QUANTITIES.items():
        if key not in pairs:
            continue
        expected, found = pairs[key]
        band = _band(record.plan, key)
        low, high = expected_range(key, expected, band)
        inside = low <= found <= high
        words = f"{'within' if inside else 'outside'} {form(low)} to {form(high)}"
        shown = f'<span class="{"good" if inside else "warn"}">{text(words)}</span>'
        # The error is of the prediction, as in the figures of the README.
        rows.append((text(name), text(form(expected)), text(form(found)), error_text(pairs[key]), shown))
    if not rows:
        return ""
    remarks = [
        "The error is that of the prediction, predicted / measured − 1. Of steps the median counts; the wall-clock "
        "time has start-up, evaluations, checkpoints and what was done again in it."
    ]
    if "cost_usd" not in pairs:
        remarks.append(
            "No price is known for this hardware, so there is no cost to compare."
            if record.plan.estimates.cost_usd is None
            else "The cost follows when the training is done."
        )
    return table(
        ("", "predicted", "measured", "error", "as expected"), rows, raw=True, numbers={1, 2, 3}
    ) + "".join(f'<p class="quiet small">{text(line)}</p>' for line in remarks)


def expected_range(key: str, predicted: float, band: float) -> tuple[float, float]:
    """Return between what a measured value is as predicted; for a rate, between what its time is."""
    if key in RATES:
        return predicted / (1 + band), predicted / (1 - band)
    return predicted * (1 - band), predicted * (1 + band)


def error_text(pair: Sequence[float]) -> str:
    """Return the error of a prediction, of [predicted, measured], in per cent; '' where nothing was measured."""
    predicted, measured = pair
    if not measured:
        return ""
    percent = round(100 * (predicted / measured - 1))
    return f"{percent:+d} %" if percent else "0 %"


def _band(plan: Plan, key: str) -> float:
    estimates = plan.estimates
    return estimates.memory_error_fraction if key == "peak_memory_bytes" else estimates.time_error_fraction


def _device(plan: Plan) -> str:
    return "GPU" if plan.layout.device == "cuda" else "process"


def _memory(record: RunRecord) -> str:
    """Return the memory as bars that begin where the one before ends, and below them what was measured."""
    estimates = record.plan.estimates
    pair = record.measured().get("peak_memory_bytes")
    peak = max(estimates.peak_memory_bytes, pair[1] if pair else 0, 1)
    room = estimates.available_memory_bytes
    scale = (room if room <= MOST_ROOM * peak else peak) * 1.02
    parts, before = [], 0.0
    for item in estimates.memory:
        parts.append(_bar(item.name, item.bytes, before / scale, item.bytes / scale))
        before += item.bytes
    parts.append(
        _bar("predicted peak", estimates.peak_memory_bytes, 0, estimates.peak_memory_bytes / scale, "total")
    )
    if pair:
        parts.append(_bar("measured peak", pair[1], 0, pair[1] / scale, "total measured"))
    limit = "" if room > scale else f" The red line is what may be used, {size(room)}."
    rest = (
        f"Predicted within ± {estimates.memory_error_fraction:.0%}; {size(room)} may be used.{limit}"
        if room
        else ""
    )
    line = f'<u style="left:{100 * room / scale:.2f}%"></u>' if room <= scale else ""
    bars = "".join(parts).replace(_LIMIT, line)
    elsewhere = _elsewhere(estimates.host_memory, estimates.disk)
    return f'<div class="fall keep">{bars}</div><p class="quiet small">{text(rest)}</p>{elsewhere}'


def _bar(name: str, size_bytes: float, start: float, share: float, kind: str = "") -> str:
    return (
        f'<span class="{kind}">{text(name)}</span><span class="n {kind}">{size(size_bytes)}</span>'
        f'<span class="track {kind}"><i style="left:{100 * start:.2f}%;width:{100 * share:.2f}%"></i>{_LIMIT}</span>'
    )


def _elsewhere(host: Sequence[MemoryItem], disk: Sequence[MemoryItem]) -> str:
    lines = []
    for name, items in (("Host memory", host), ("Disk, at most", disk)):
        if items:
            parts = ", ".join(f"{item.name} {size(item.bytes)}" for item in items)
            lines.append(f"{name}: {size(sum(item.bytes for item in items))} ({parts}).")
    return "".join(f'<p class="quiet small">{text(line)}</p>' for line in lines)


def _alternatives(plan: Plan) -> str:
    shown = layouts_to_show(plan)
    rows = [
        (
            name if place else "the plan's",
            size(other.peak_memory_bytes),
            f"{figure(other.step_time_s)} s",
            duration(other.wall_clock_s),
            "" if other.cost_usd is None else money(other.cost_usd),
        )
        for place, (name, other) in enumerate(shown)
    ]
    if len(rows) == 1 and not plan.search.rejected:
        return f"<p>{plan.search.candidates:,}; those that fit come to the same figures, and the first was taken.</p>"
    head = ("layout", "peak memory", "a step", "wall clock", "cost")
    refused = [
        f"{other.layout}: {size(other.peak_memory_bytes)} of {size(plan.estimates.available_memory_bytes)}"
        for other in plan.search.rejected
    ]
    lines = "".join(f"<li>{text(line)}</li>" for line in refused)
    chosen = "the wall-clock time" if plan.search.objective == "wall_clock" else "the cost"
    return (
        f'<p class="quiet small">The best of {plan.search.candidates:,} by {chosen}; of those with the same figures '
        f"one is shown.</p>{table(head, rows, numbers={1, 2, 3, 4})}"
        + (f'<p class="small">These do not fit:</p><ul class="small">{lines}</ul>' if refused else "")
    )
