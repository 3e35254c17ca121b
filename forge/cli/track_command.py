"""`forge track`: hand a run's curves on to a tracker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def track(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.", show_default=False)],
    to: Annotated[
        str,
        typer.Option("--to", metavar="NAME", help="mlflow, wandb or prometheus.", show_default=False),
    ],
    mlflow_uri: Annotated[
        str | None,
        typer.Option(
            "--mlflow-uri", metavar="URI", help="Where MLflow keeps runs; else mlruns/ beside runs/."
        ),
    ] = None,
    wandb_online: Annotated[
        bool, typer.Option("--wandb-online", help="Let W&B send to its server; else it writes files only.")
    ] = False,
    prometheus_file: Annotated[
        Path | None,
        typer.Option(
            "--prometheus-file", metavar="FILE", help="Where the newest values go; else RUN/metrics.prom."
        ),
    ] = None,
) -> None:
    """Hand a run's curves on to a tracker: forge track runs/NAME --to mlflow

    A run that goes on is followed to its end; the same command again adds what is new. Settings and curves are handed
    on, no paths and nothing of the documents; nothing leaves this machine unless an address or --wandb-online says so.
    """
    from forge.run.evaluations import plan_of
    from forge.run.tracking.follow import follow_plan
    from forge.run.tracking.tracker import Destinations, find_tracker

    destinations = Destinations(mlflow_uri, wandb_online, prometheus_file)
    handed_on = follow_plan(run, to, find_tracker(to), destinations)
    plan = plan_of(run)
    print(f"{handed_on:,} points of {plan.name}-{plan.id} handed on to {to}")
