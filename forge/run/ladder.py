"""What comes of a ladder: which learning rate is best, which runs are next, and the loss predicted of the run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from forge.files import replace_text
from forge.plan.ladder import RATE_FACTORS, Changes, Ladder, Rung
from forge.plan.types import Plan
from forge.run.scaling_law import INTERVAL, Prediction, predict_loss

LADDER_RECORD = "ladder.json"
"""In ladders/<name>-<plan id>/ of the run that a ladder is for: its rungs, what its runs lost, and what that says."""


class Point(NamedTuple):
    """One run of a ladder."""

    rung: int
    """Index, of the smallest 0."""
    rate_factor: float
    """Times the learning rate expected to be best."""


Losses = Mapping[Point, float]
"""Held-out loss, in nats a token, of the runs done."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a ladder says of the run that it is for."""

    rate_factor: float
    """The best learning rate, times the one that the run's spec says."""
    at_edge: bool
    """Whether the best learning rate is at an end of those tried: there may be a better one beyond."""
    losses_nats: tuple[float, ...]
    """Of the rungs, smallest first: the best one where several learning rates were tried."""
    prediction: Prediction


def first_points(ladder: Ladder) -> list[Point]:
    """Return the runs that find the learning rate: the smallest rungs, each at several."""
    return [
        Point(number, factor)
        for number, rung in enumerate(ladder.rungs)
        if len(rung.rate_factors) > 1
        for factor in rung.rate_factors
    ]


def next_points(ladder: Ladder, losses: Losses) -> list[Point]:
    """Return the runs that `first_points` make possible: the larger rungs, at the learning rate found."""
    factor = best_rate_factor(losses)[0]
    return [Point(number, factor) for number, rung in enumerate(ladder.rungs) if len(rung.rate_factors) == 1]


def changes_of(ladder: Ladder, point: Point) -> Changes:
    """Return what the spec of a point says other than the run's."""
    rung: Rung = ladder.rungs[point.rung]
    return rung.at_rate(point.rate_factor)


def best_rate_factor(losses: Losses) -> tuple[float, bool]:
    """Return the factor of the best learning rate, and whether it is at an end of those tried.

    A parabola through the losses over the logarithm of the rate has its lowest point at a rung's best; of several rungs
    the geometric mean is taken. How the best rate changes from one size to the next is not fitted but taken from the
    source of `forge.plan.ladder.RATE_EXPONENT`: two small models say little of it.
    """
    found = []
    for rung in sorted({point.rung for point in losses}):
        tried = [(point.rate_factor, loss) for point, loss in losses.items() if point.rung == rung]
        if len(tried) == len(RATE_FACTORS):
            found.append(_lowest(sorted((math.log(factor), loss) for factor, loss in tried)))
    mean = sum(found) / len(found)
    ends = math.log(RATE_FACTORS[0]), math.log(RATE_FACTORS[-1])
    return float(f"{math.exp(mean):.3g}"), any(math.isclose(mean, end) for end in ends)


def conclude(ladder: Ladder, losses: Losses, seed: int) -> Outcome:
    """Return what a ladder says when all its runs are done.

    Args:
        ladder: as planned.
        losses: of all its points.
        seed: of the interval's bootstrap.
    """
    factor, at_edge = best_rate_factor(losses)
    best = tuple(
        min(loss for point, loss in losses.items() if point.rung == number)
        for number in range(len(ladder.rungs))
    )
    flops = [rung.compute_flops for rung in ladder.rungs]
    return Outcome(factor, at_edge, best, predict_loss(flops, best, ladder.run_compute_flops, seed))


def write_ladder(
    output_dir: Path,
    run: Plan,
    ladder: Ladder,
    losses: Losses,
    folders: Mapping[Point, str],
    outcome: Outcome,
) -> Path:
    """Write what a ladder came to, and return the file.

    Args:
        output_dir: where ladders/ and runs/ are.
        run: what the ladder is for.
        ladder: as planned.
        losses: of all its points.
        folders: of their runs, below runs/.
        outcome: as `conclude` returned it.

    Raises:
        OSError: it cannot be written.
    """
    file = output_dir / "ladders" / f"{run.name}-{run.id}" / LADDER_RECORD
    file.parent.mkdir(parents=True, exist_ok=True)
    runs = [
        {**point._asdict(), "held_out_loss_nats": loss, "run": folders[point]}
        for point, loss in losses.items()
    ]
    content = {
        "name": run.name,
        "plan_id": run.id,
        "learning_rate": run.schedule.learning_rate,
        "ladder": asdict(ladder),
        "runs": runs,
        "outcome": asdict(outcome),
        "interval": INTERVAL,
    }
    replace_text(file, json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n")
    return file


def _lowest(tried: Sequence[tuple[float, float]]) -> float:
    """Return where a parabola through three points is lowest, or the lowest point where it opens downwards."""
    (x0, y0), (x1, y1), (x2, y2) = tried
    left, right = (y1 - y0) / (x1 - x0), (y2 - y1) / (x2 - x1)
    bend = (right - left) / (x2 - x0)
    if bend <= 0:
        return min(tried, key=lambda point: point[1])[0]
    return min(max((x0 + x1) / 2 - left / (2 * bend), x0), x2)
