"""A ladder as a table, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from forge.cli.console import make_console
from forge.plan.ladder import Ladder
from forge.plan.types import Plan
from forge.run.quantities import count, duration, figure, money, scientific

if TYPE_CHECKING:
    from forge.run.ladder import Outcome


def show_ladder(ladder: Ladder, run: Plan) -> None:
    """Print the rungs of a ladder with what each takes, and its share of the cost of the run."""
    table = Table(box=None, pad_edge=False)
    for title in ("rung", "size", "tokens", "FLOPs", "rate", "runs", "time", "cost"):
        table.add_column(title, justify="left" if title == "rung" else "right", no_wrap=True)
    for rung in ladder.rungs:
        runs = len(rung.rate_factors)
        table.add_row(
            f"{rung.changes['model.layers']} × {rung.changes['model.hidden_size']}",
            count(rung.parameters),
            count(rung.tokens),
            scientific(rung.compute_flops, 1),
            scientific(rung.changes["train.learning_rate"], 2),
            str(runs),
            duration(rung.wall_clock_s * runs),
            "" if rung.cost_usd is None else money(rung.cost_usd * runs),
        )
    estimates = run.estimates
    table.add_row(
        f"run: {run.model.layers} × {run.model.hidden_size}",
        count(run.model.active_parameters),
        count(run.schedule.tokens),
        scientific(ladder.run_compute_flops, 1),
        scientific(run.schedule.learning_rate, 2),
        "1",
        duration(estimates.wall_clock_s),
        "" if estimates.cost_usd is None else money(estimates.cost_usd),
        style="dim",
    )
    console = make_console()
    console.print(table)
    runs = sum(len(rung.rate_factors) for rung in ladder.rungs)
    wall_clock_s = sum(rung.wall_clock_s * len(rung.rate_factors) for rung in ladder.rungs)
    cost = "" if ladder.cost_usd is None else f", {money(ladder.cost_usd)}"
    console.print(
        f"\nladder {len(ladder.rungs)} rungs, {runs} runs: {duration(wall_clock_s)}{cost}, "
        f"{figure(100 * ladder.share)} % of the run",
        markup=False,
    )


def show_outcome(outcome: Outcome, run: Plan) -> None:
    """Print the loss and the learning rate that a ladder predicts of the run."""
    from forge.run.scaling_law import INTERVAL  # brings numpy, which a plan does without

    found = outcome.prediction
    law = found.law
    rate = run.schedule.learning_rate
    console = make_console()
    for rung, loss in enumerate(outcome.losses_nats, 1):
        console.print(f"rung {rung}  {loss:.4f} nats a token", markup=False)
    console.print(
        f"curve  {law.irreducible_nats:.3f} + {law.reducible_nats:.3f} (C / {law.reference_flops:.2e} FLOPs)"
        f"^-{law.exponent:.3f}, {100 * found.noise_fraction:.2g} % off",
        markup=False,
    )
    console.print(
        f"the run, predicted: held-out loss {found.loss_nats:.3f} nats a token, "
        f"{INTERVAL:.0%} between {found.low_nats:.3f} and {found.high_nats:.3f}",
        markup=False,
    )
    console.print(
        f"its learning rate, transferred: {rate * outcome.rate_factor:.3g} (the spec says {rate:.3g})",
        markup=False,
    )
    if outcome.at_edge:
        console.print(
            "the best learning rate is at an end of those tried: set train.learning_rate there, and do it again",
            markup=False,
        )
