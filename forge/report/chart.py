"""Curves above one axis of steps, as inline SVG: panels below each other, what happened marked through all of them.

Drawn here and not by a library: those that are kept (matplotlib, plotly, altair) bring tens of megabytes, or a script
that draws in the browser, or colours fixed when they draw; a page has to be one light file whose charts follow the
reader's dark mode, the width of the window and the paper. Across, everything is placed in percent, and curves are
stretched with the window while their strokes and all text keep their size; nothing needs a script. `HOVER` only reads
values off the curves under the pointer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from forge.report.downsample import STRETCHES, kept_points
from forge.report.page import text
from forge.report.ticks import linear_ticks, log_ticks, tick_text, time_texts

STRETCHED_WIDTH = 1000
"""Of a curve before it is stretched to the width of its panel."""
MARGIN_PX = 7
"""Above the highest and below the lowest point."""
MOST_POINTS_DRAWN = 120
"""Dots of a series; its line has all that are kept."""
MOST_STRETCHES = 24_000
"""Of all curves of a chart, about 1.3 MB with what the pointer reads: the more curves, the coarser each."""
MOST_MARKS = 300
"""Of a kind; a line says how many there are."""
STEP_TICKS, VALUE_TICKS = 7, 5
LANE_PX = 18

CHART_STYLE = """
figure { margin: 1rem 0; } .panel { margin: 0 .5rem 1rem 4.2rem; }
.panel svg { display: block; width: 100%; overflow: visible; } .panel svg svg { overflow: hidden; }
.panel text { font: 11.5px system-ui, sans-serif; fill: var(--quiet); font-variant-numeric: tabular-nums; }
.panel .g { stroke: var(--grid); } .panel .axis { stroke: var(--line); }
.caption { display: flex; flex-wrap: wrap; gap: 0 1.1rem; align-items: baseline; margin: 0 0 .35rem -4.2rem; }
.caption b { font-weight: 600; } .caption b span { font-weight: 400; }
.caption span { color: var(--quiet); font-size: .87rem; }
.caption .at { color: var(--ink); font-variant-numeric: tabular-nums; }
.key { display: inline-block; width: 1.1rem; height: 0; border-top: 2.5px solid; vertical-align: middle;
  margin-right: .35rem; } .key.faint { opacity: .45; } .key.dots { border-top-style: dotted; border-top-width: 4px; }
.curve { fill: none; vector-effect: non-scaling-stroke; stroke-width: 1.6px; stroke-linejoin: round; }
.curve.faint { stroke-width: 1px; opacity: .45; }
.curve.background { stroke: var(--quiet); stroke-width: 1px; opacity: .3; }
.k0 { stroke: var(--s0); color: var(--s0); } .k1 { stroke: var(--s1); color: var(--s1); }
.k2 { stroke: var(--s2); color: var(--s2); } .k3 { stroke: var(--s3); color: var(--s3); }
.k4 { stroke: var(--s4); color: var(--s4); } .k5 { stroke: var(--s5); color: var(--s5); }
.k6 { stroke: var(--s6); color: var(--s6); } .k7 { stroke: var(--s7); color: var(--s7); }
circle { fill: currentColor; stroke: none; }
.through { stroke: var(--bad); stroke-dasharray: 3 3; opacity: .7; } .through.phase { stroke: var(--quiet); }
.lane { stroke-width: 2; stroke: var(--quiet); } .lane.bad { stroke: var(--bad); stroke-width: 3; }
.plot { position: relative; }
.cursor { position: absolute; top: 0; width: 0; border-left: 1px solid var(--ink); opacity: .5;
  pointer-events: none; display: none; }
@media (max-width: 36rem) { .panel { margin-left: 3.4rem; margin-right: .2rem; } .caption { margin-left: -3.4rem; }
  .odd { display: none; } }
"""


@dataclass(frozen=True, slots=True)
class Series:
    """One curve."""

    name: str
    steps: Sequence[float]
    values: Sequence[float]
    color: int = 0
    """0 to 7."""
    kind: Literal["line", "faint", "dots", "background"] = "line"
    """One in the background is grey, stands in no legend, and the pointer does not read it."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves of one unit."""

    title: str
    unit: str
    series: tuple[Series, ...]
    logarithmic: bool = False
    from_zero: bool = False
    height_px: int = 120
    form: Callable[[float], str] = tick_text
    """How a value is written beside a tick."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at a step."""

    lane: str
    """The line of marks that it stands in."""
    step: float
    text: str
    goes_through: bool = False
    """Whether it is drawn across all panels."""
    is_bad: bool = False


@dataclass(frozen=True, slots=True)
class StepAxis:
    """What all panels share."""

    last: float
    time_s: Callable[[float], float | None] | None = None
    """The time spent by a step, in seconds, which stands below its number; None where it is not known."""
    first: float = 0
    name: str = "step"
    logarithmic: bool = False
    """`first` is above 0."""
    form: Callable[[float], str] = tick_text
    """How a step is written beside a tick."""


def chart(label: str, panels: Sequence[Panel], axis: StepAxis, marks: Sequence[Mark] = ()) -> str:
    """Return panels with anything to draw, below each other; nothing where none has."""
    drawn = [panel for panel in panels if any(series.steps for series in panel.series)]
    if not drawn:
        return ""
    stretches = min(STRETCHES, MOST_STRETCHES // sum(len(panel.series) for panel in drawn))
    parts = [_lanes(axis, marks)]
    for place, panel in enumerate(drawn):
        parts.append(_panel(panel, axis, marks, stretches, is_last=place == len(drawn) - 1))
    facts = json.dumps({"first": axis.first, "last": axis.last, "log": axis.logarithmic})
    return f'<figure class="chart" aria-label="{text(label)}" data-axis="{text(facts)}">{"".join(parts)}</figure>'


def _panel(panel: Panel, axis: StepAxis, marks: Sequence[Mark], stretches: int, is_last: bool) -> str:
    values = [value for series in panel.series for value in series.values]
    low, high = min(values), max(values)
    logarithmic = panel.logarithmic and low > 0
    if panel.from_zero and not logarithmic:
        low = min(low, 0.0)
    if high - low <= abs(high) * 1e-9:
        margin = abs(high) * 0.1 or 1.0
        low, high = (low / 1.1 if logarithmic else low - margin), high + margin
    scale = _Scale(low, high, panel.height_px, logarithmic)
    ticks = (log_ticks if logarithmic else linear_ticks)(low, high, VALUE_TICKS)
    lines = "".join(
        f'<line class="g" x1="0" x2="100%" y1="{scale.y(tick)}" y2="{scale.y(tick)}"/>'
        f'<text x="-8" y="{scale.y(tick)}" dy=".33em" text-anchor="end">{text(panel.form(tick))}</text>'
        for tick in ticks
    )
    height = panel.height_px
    across = "".join(_across(mark, axis, height) for mark in marks if mark.goes_through)
    curves = "".join(_curve(series, axis, scale, stretches) for series in panel.series)
    dots = "".join(_dots(series, axis, scale) for series in panel.series if series.kind == "dots")
    below = _steps(axis, height) if is_last else ""
    space = 38 if is_last and axis.time_s else 20 if is_last else 0
    read = "".join(
        f'<span>{_key(series) if len(panel.series) > 1 else ""}<span class="at" '
        f'data-points="{text(_points(series, stretches))}"></span></span>'
        for series in panel.series
        if series.steps and series.kind != "background"
    )
    unit = f" <span>{text(panel.unit)}</span>" if panel.unit else ""
    return (
        f'<div class="panel keep"><div class="caption"><b>{text(panel.title)}{unit}</b>'
        f'{read}</div><div class="plot" style="padding-bottom:{space}px"><svg height="{height}" role="img" '
        f'aria-label="{text(panel.title)}">'
        f"{lines}{_grid(axis, height)}{across}"
        f'<svg width="100%" height="{height}" viewBox="0 0 {STRETCHED_WIDTH} {height}" preserveAspectRatio="none">'
        f'{curves}</svg>{dots}{below}</svg><div class="cursor" style="bottom:{space}px"></div></div></div>'
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    """From values to pixels from the top."""

    low: float
    high: float
    height_px: int
    logarithmic: bool

    def y(self, value: float) -> str:
        low, high, at = (
            (math.log(self.low), math.log(self.high), math.log(value))
            if self.logarithmic
            else (self.low, self.high, value)
        )
        room = self.height_px - 2 * MARGIN_PX
        return f"{MARGIN_PX + room * (high - at) / (high - low):.1f}"


def _key(series: Series) -> str:
    return f'<i class="key k{series.color} {series.kind}"></i>{text(series.name)} '


def _share(step: float, axis: StepAxis) -> float:
    if axis.logarithmic:
        return math.log(step / axis.first) / max(math.log(axis.last / axis.first), 1e-9)
    return (step - axis.first) / max(axis.last - axis.first, 1e-9)


def _percent(step: float, axis: StepAxis) -> str:
    return f"{100 * _share(step, axis):.2f}%"


def _curve(series: Series, axis: StepAxis, scale: _Scale, stretches: int) -> str:
    kept = kept_points(series.values, stretches)
    points = " ".join(
        f"{STRETCHED_WIDTH * _share(series.steps[place], axis):.1f},{scale.y(series.values[place])}"
        for place in kept
    )
    if series.kind == "background":
        return f'<polyline class="curve background" points="{points}"><title>{text(series.name)}</title></polyline>'
    kind = "faint" if series.kind in ("faint", "dots") else ""
    return f'<polyline class="curve k{series.color} {kind}" points="{points}"/>'


def _dots(series: Series, axis: StepAxis, scale: _Scale) -> str:
    kept = kept_points(series.values, MOST_POINTS_DRAWN // 2)
    return "".join(
        f'<circle class="k{series.color}" r="3" cx="{_percent(series.steps[place], axis)}" '
        f'cy="{scale.y(series.values[place])}"><title>{axis.name} {series.steps[place]:,.0f}: '
        f"{series.values[place]:.6g}</title></circle>"
        for place in kept
    )


def _points(series: Series, stretches: int) -> str:
    """Return what the pointer reads: [[steps], [values]] of the points that are drawn."""
    kept = kept_points(series.values, stretches)
    steps = [int(series.steps[place]) for place in kept]
    values = [float(f"{series.values[place]:.6g}") for place in kept]
    return json.dumps([steps, values], separators=(",", ":"))


def _step_ticks(axis: StepAxis) -> list[float]:
    if axis.logarithmic:
        return log_ticks(axis.first, axis.last, STEP_TICKS)
    return [tick for tick in linear_ticks(axis.first, axis.last, STEP_TICKS) if tick == round(tick)]


def _grid(axis: StepAxis, height: int) -> str:
    return "".join(
        f'<line class="g" x1="{_percent(tick, axis)}" x2="{_percent(tick, axis)}" y1="0" y2="{height}"/>'
        for tick in _step_ticks(axis)
    )


def _steps(axis: StepAxis, height: int) -> str:
    parts = [f'<line class="axis" x1="0" x2="100%" y1="{height}" y2="{height}"/>']
    ticks = _step_ticks(axis)
    times = time_texts([None if axis.time_s is None else axis.time_s(tick) for tick in ticks])
    for place, (tick, time) in enumerate(zip(ticks, times, strict=True)):
        hidden = ' class="odd"' if place % 2 else ""
        label = f"{axis.name} {axis.form(tick)}" if place == 0 else axis.form(tick)
        where = f'x="{_percent(tick, axis)}" text-anchor="middle"{hidden}'
        parts.append(f'<text {where} y="{height + 16}">{label}</text>')
        if time:
            parts.append(f'<text {where} y="{height + 31}">{time}</text>')
    return "".join(parts)


def _across(mark: Mark, axis: StepAxis, height: int) -> str:
    x = _percent(mark.step, axis)
    kind = "" if mark.is_bad else " phase"
    return (
        f'<line class="through{kind}" x1="{x}" x2="{x}" y1="0" y2="{height}">'
        f"<title>{text(mark.text)}</title></line>"
    )


def _lanes(axis: StepAxis, marks: Sequence[Mark]) -> str:
    """Return a line of marks for each kind of what happened."""
    lanes: dict[str, list[Mark]] = {}
    for mark in marks:
        lanes.setdefault(mark.lane, []).append(mark)
    if not lanes:
        return ""
    height = LANE_PX * len(lanes)
    parts = []
    for place, (name, of_lane) in enumerate(lanes.items()):
        top = place * LANE_PX
        middle = top + LANE_PX / 2
        parts.append(
            f'<line class="g" x1="0" x2="100%" y1="{middle}" y2="{middle}"/>'
            f'<text x="-8" y="{middle}" dy=".33em" text-anchor="end">{text(name)}</text>'
        )
        gap = -(-len(of_lane) // MOST_MARKS)
        for mark in of_lane[::gap]:
            x = _percent(mark.step, axis)
            bad = " bad" if mark.is_bad else ""
            parts.append(
                f'<line class="lane{bad}" x1="{x}" x2="{x}" y1="{top + 4}" y2="{top + LANE_PX - 4}">'
                f"<title>{axis.name} {mark.step:,.0f}: {text(mark.text)}</title></line>"
            )
    across = "".join(_across(mark, axis, height) for mark in marks if mark.goes_through)
    return (
        f'<div class="panel keep"><svg height="{height}" role="img" aria-label="what happened">'
        f"{across}{''.join(parts)}</svg></div>"
    )


HOVER = """
(() => {
  const say = (value) => value === 0 || Math.abs(value) >= 0.001 && Math.abs(value) < 1e5
    ? String(+value.toPrecision(5)) : value.toExponential(2);
  const clear = (figure) => {
    figure.querySelectorAll('.at').forEach((at) => { at.textContent = ''; });
    figure.querySelectorAll('.cursor').forEach((cursor) => { cursor.style.display = 'none'; });
  };
  document.addEventListener('pointermove', (event) => {
    const figure = event.target.closest ? event.target.closest('figure.chart') : null;
    document.querySelectorAll('figure.chart').forEach((other) => { if (other !== figure) clear(other); });
    if (!figure) return;
    const plot = figure.querySelector('.panel svg').getBoundingClientRect();
    const share = (event.clientX - plot.left) / plot.width;
    if (share < 0 || share > 1) { clear(figure); return; }
    const axis = JSON.parse(figure.dataset.axis);
    const step = axis.log ? axis.first * (axis.last / axis.first) ** share
      : axis.first + share * (axis.last - axis.first);
    figure.querySelectorAll('.cursor').forEach((cursor) => {
      cursor.style.display = 'block'; cursor.style.left = 100 * share + '%';
    });
    figure.querySelectorAll('.at').forEach((at) => {
      const [steps, values] = at.points || (at.points = JSON.parse(at.dataset.points));
      let low = 0, high = steps.length - 1;
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if (steps[middle] <= step) low = middle; else high = middle;
      }
      const place = Math.abs(steps[low] - step) <= Math.abs(steps[high] - step) ? low : high;
      at.textContent = say(values[place]) + ' at ' +
        (steps[place] < 1e12 ? steps[place].toLocaleString('en') : steps[place].toExponential(2));
    });
  });
})();
"""
