"""A ladder as one HTML file: the curve through its small runs, what it predicts of the run, and all their curves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from forge.errors import SpecError
from forge.files import replace_text
from forge.report.chart import HOVER, Panel, Series, StepAxis, chart
from forge.report.compare_page import COLORS, beside_sections
from forge.report.page import Section, page, table, text
from forge.report.run_page import GENERATOR, REPORT, STYLE
from forge.report.sweep_page import comparisons, runs_of
from forge.run.ladder import LADDER_RECORD
from forge.run.quantities import count, counted, duration, money, scientific


def write_ladder_report(folder: Path, output: Path | None = None) -> Path:
    """Write the page of a ladder and return where it is: `output`, else report.html in the ladder's folder.

    Raises:
        SpecError: its ladder.json cannot be read.
        OSError: the page cannot be written.
    """
    path = folder / REPORT if output is None else output
    replace_text(path, ladder_page(folder))
    return path


def ladder_page(folder: Path) -> str:
    """Return the page of a ladder.

    Args:
        folder: of the ladder, below ladders/, which is beside runs/.
    """
    try:
        found = json.loads((folder / LADDER_RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpecError(
            f"{folder / LADDER_RECORD}: cannot be read ({error}): name the folder of a ladder"
        ) from None
    runs_dir = folder.resolve().parent.parent / "runs"
    # The largest first: its curve is nearest to what the run's will be.
    runs = sorted(found["runs"], key=lambda run: (-run["rung"], run["held_out_loss_nats"]))
    names = {f"rung {run['rung'] + 1}, rate × {run['rate_factor']:g}": run["run"] for run in runs}
    named = runs_of(runs_dir, names)
    shown, others = named[:COLORS], named[COLORS:]
    sections = [
        Section("curve", "Loss over compute", _curve(found)),
        Section("rungs", "Rungs", _rungs(found)),
        *(beside_sections(shown, comparisons(shown), others) if shown else ()),
    ]
    title = f"ladder {found['name']}-{found['plan_id']}"
    head = f"<h1>Ladder of {text(found['name'])}</h1>{_verdict(found)}"
    return page(title, GENERATOR, head, sections, style=STYLE, script=HOVER)


def _verdict(found: Mapping[str, Any]) -> str:
    """Return what the ladder says of the run."""
    outcome, rungs = found["outcome"], found["ladder"]["rungs"]
    prediction = outcome["prediction"]
    rate = found["learning_rate"]
    lines = [
        f"{counted(len(rungs), 'rung')}, {counted(len(found['runs']), 'run')}: the run is predicted to come to "
        f"{prediction['loss_nats']:.3f} nats a held-out token, {found['interval']:.0%} between "
        f"{prediction['low_nats']:.3f} and {prediction['high_nats']:.3f}.",
        f"Its learning rate, transferred: {rate * outcome['rate_factor']:.3g} (the spec says {rate:.3g}).",
    ]
    shown = "".join(f'<p class="verdict">{text(line)}</p>' for line in lines)
    edge = (
        '<p class="warn">The best learning rate is at an end of those tried: set train.learning_rate there, and do it '
        "again.</p>"
        if outcome["at_edge"]
        else ""
    )
    return f'{shown}{edge}<p class="quiet">run {text(found["name"])}-{text(found["plan_id"])}</p>'


def _curve(found: Mapping[str, Any]) -> str:
    outcome, rungs = found["outcome"], found["ladder"]["rungs"]
    prediction = outcome["prediction"]
    band: Sequence[Mapping[str, float]] = [_band_point(point) for point in prediction["band"]]
    flops = [point["compute_flops"] for point in band]
    interval = f"{found['interval']:.0%}"
    panel = Panel(
        "held-out loss",
        "nats a token, over training compute in FLOPs",
        (
            Series(f"{interval}, low", flops, [point["low_nats"] for point in band], 0, "faint"),
            Series(f"{interval}, high", flops, [point["high_nats"] for point in band], 0, "faint"),
            Series("curve", flops, [point["loss_nats"] for point in band], 0),
            Series("rungs", [rung["compute_flops"] for rung in rungs], outcome["losses_nats"], 1, "dots"),
            Series("the run, predicted", flops[-1:], [prediction["loss_nats"]], 2, "dots"),
        ),
        height_px=300,
    )
    axis = StepAxis(
        first=flops[0],
        last=flops[-1],
        name="FLOPs",
        logarithmic=True,
        form=lambda flops: scientific(flops, 0),
    )
    law = prediction["law"]
    formula = (
        f"{law['irreducible_nats']:.3f} + {law['reducible_nats']:.3f} (C / {scientific(law['reference_flops'], 2)})"
        f"^-{law['exponent']:.3f}, from which the rungs are {prediction['noise_fraction']:.2%} off"
    )
    return f"{chart('loss over compute', [panel], axis)}<p>The curve is {text(formula)}.</p>"


def _power_of_ten(flops: float) -> str:
    return scientific(flops, 0)


def _band_point(point: Sequence[float]) -> dict[str, float]:
    return dict(zip(("compute_flops", "loss_nats", "low_nats", "high_nats"), point, strict=True))


def _rungs(found: Mapping[str, Any]) -> str:
    rungs, losses = found["ladder"]["rungs"], found["outcome"]["losses_nats"]
    factors = sorted({run["rate_factor"] for run in found["runs"]})
    measured = {(run["rung"], run["rate_factor"]): run["held_out_loss_nats"] for run in found["runs"]}
    rows = []
    for number, rung in enumerate(rungs):
        rows.append(
            (
                f"{number + 1}",
                f"{rung['changes']['model.layers']} × {rung['changes']['model.hidden_size']}",
                count(rung["parameters"]),
                count(rung["tokens"]),
                scientific(rung["compute_flops"], 1),
                scientific(rung["changes"]["train.learning_rate"], 2),
                duration(rung["wall_clock_s"] * len(rung["rate_factors"])),
                "" if rung["cost_usd"] is None else money(rung["cost_usd"] * len(rung["rate_factors"])),
                *(f"{measured[number, one]:.4f}" if (number, one) in measured else "" for one in factors),
                f"{losses[number]:.4f}",
            )
        )
    head = ("rung", "layers × width", "parameters", "tokens", "FLOPs", "rate", "time", "cost")
    rates = [f"loss at rate × {factor:g}" for factor in factors]
    shown = table((*head, *rates, "best"), rows, numbers=set(range(len(head) + len(rates) + 1)))
    said = "Time and cost as predicted, of all rates of a rung; losses in nats a held-out token."
    return f'{shown}<p class="quiet small">{said}</p>'
