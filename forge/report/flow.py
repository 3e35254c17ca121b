"""A flow from top to bottom, as wide as there are documents in it; what leaves it bends to the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from forge.report.page import text

FLOW_STYLE = """
.flow { margin: 1rem 0; --columns: 10.5rem minmax(8rem, 1fr) minmax(10rem, 19rem); }
.flow > div { display: grid; grid-template-columns: var(--columns); gap: 0 1rem; margin: 0; }
.flow .name { text-align: right; } .flow .name b { display: block; font-size: 1.1rem;
  font-variant-numeric: tabular-nums; line-height: 1.2; } .flow .name span { color: var(--quiet); font-size: .87rem; }
.flow .node { align-items: center; } .flow .node i { display: block; height: 1.5rem; background: var(--bar);
  border-radius: 2px; min-width: 2px; } .flow .node .ends { display: flex; gap: 2px; } .flow .ends i:nth-child(2) {
  background: var(--s1); }
.flow .way { align-items: stretch; } .flow .stream { position: relative; min-height: 2.4rem; }
.flow svg { position: absolute; inset: 0; width: 100%; height: 100%; } .flow .kept { fill: var(--bar); opacity: .28; }
.flow .left { fill: var(--bad); opacity: .28; }
.flow ul { margin: .35rem 0; padding: 0; list-style: none; font-size: .9rem; line-height: 1.4; }
.flow li { display: flex; justify-content: space-between; gap: .8rem; }
.flow li b { font-weight: 600; color: var(--bad); font-variant-numeric: tabular-nums; white-space: nowrap; }
@media (max-width: 44rem) { .flow { --columns: 6.4rem 1fr; } .flow .way ul { grid-column: 2; }
  .flow .node > :nth-child(3) { grid-column: 2; } .flow .stream { grid-column: 2; }
  .flow .way > :first-child { display: none; } .flow .name b { font-size: 1rem; } }
"""
BEND = 50
"""Percent of the height at which a stream bends."""


@dataclass(frozen=True, slots=True)
class Station:
    """A point of the flow, and what left it before the next one."""

    name: str
    count: int
    left: Sequence[tuple[str, int]] = ()
    """What left before the next station: reason and number, most first."""
    stayed: int = 0
    """How many did not."""
    parts: Sequence[tuple[str, int]] = ()
    """What the last station is made of."""


def flow(stations: Sequence[Station]) -> str:
    """Return the stations below each other with the stream between them."""
    most = max((station.count for station in stations), default=0)
    if not most:
        return ""
    rows = []
    for place, station in enumerate(stations):
        rows.append(_node(station, most))
        if place + 1 < len(stations):
            rows.append(_stream(station, stations[place + 1], most))
    return f'<div class="flow">{"".join(rows)}</div>'


def _node(station: Station, most: int) -> str:
    widths = [100 * number / most for _, number in station.parts] or [100 * station.count / most]
    bars = "".join(f'<i style="width:{width:.2f}%"></i>' for width in widths)
    ends = ", ".join(f"{number:,} {name}" for name, number in station.parts)
    return (
        f'<div class="node keep"><div class="name"><b>{station.count:,}</b><span>{text(station.name)}</span></div>'
        f'<div class="ends">{bars}</div><div class="quiet small">{text(ends)}</div></div>'
    )


def _stream(station: Station, following: Station, most: int) -> str:
    """Return the way from one station to the next: what stays keeps to the left, what leaves bends to the right."""
    before, stays, after = (
        100 * number / most for number in (station.count, station.stayed, following.count)
    )
    kept = (
        f'<path class="kept" d="M0 0H{stays:.2f}C{stays:.2f} {BEND} {after:.2f} {BEND} {after:.2f} 100H0Z"/>'
    )
    gone = ""
    if station.left:
        gone = (
            f'<path class="left" d="M{stays:.2f} 0H{before:.2f}C{before:.2f} 35 {(before + 100) / 2:.2f} 35 100 35V65'
            f'C{(stays + 100) / 2:.2f} 65 {stays:.2f} 65 {stays:.2f} 0Z"/>'
        )
    reasons = "".join(f"<li>{text(reason)} <b>− {number:,}</b></li>" for reason, number in station.left)
    return (
        '<div class="way keep"><div></div><div class="stream"><svg viewBox="0 0 100 100" preserveAspectRatio="none" '
        f'aria-hidden="true">{kept}{gone}</svg></div><ul>{reasons}</ul></div>'
    )
