"""What a finished run shows: how good the model is, a sample, where it lies, and how right the plan was."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from forge.cli.compare_view import show_changes
from forge.cli.console import make_console
from forge.cli.evaluation_view import show_evaluation, show_sample
from forge.plan.types import Plan
from forge.report.plan_part import error_text
from forge.report.run_page import REPORT
from forge.run.evaluations import compare_runs, previous_run
from forge.run.quantities import duration, figure, size
from forge.run.run import FinishedRun


def show_run(plan: Plan, finished: FinishedRun) -> None:
    """Print a finished run."""
    console = make_console()
    folder = model_folder(finished.artifacts["export"].folder)
    if not finished.made:
        console.print(f"{finished.folder.name}: done before, nothing to do", markup=False)
        console.print(f"model: {folder}", markup=False, soft_wrap=True)
        _report(console, finished.folder)
        return
    console.print()
    show_evaluation(console, finished.summary["evaluation"])
    _previous(console, finished)
    show_sample(console, finished.summary["evaluation"]["samples"])
    _prediction(console, finished.summary["predicted_and_measured"])
    console.print(f"\nmodel: {folder}", markup=False, soft_wrap=True)
    listed = " and ".join(
        str(finished.artifacts[stage].folder / "set_aside.parquet") for stage in ("lake", "corpus")
    )
    console.print(f"what was left out, and why: {listed}", markup=False, soft_wrap=True)
    show_use(console, finished.artifacts["export"].folder)
    console.print()
    _report(console, finished.folder)
    console.print(
        f"{finished.folder.name}: done in {duration(finished.wall_clock_s)}; run folder {finished.folder}",
        markup=False,
        soft_wrap=True,
    )


def _report(console: Console, run_dir: Path) -> None:
    if (run_dir / REPORT).is_file():
        console.print(f"report: {run_dir / REPORT}", markup=False, soft_wrap=True)


def model_folder(export: Path) -> Path:
    """Return the folder of an export to name first: the one that transformers loads where there is one."""
    return export / "hf" if (export / "hf").is_dir() else export / "gguf"


def show_use(console: Console, export: Path) -> None:
    """Print how what an export holds is used."""
    if (export / "hf").is_dir():
        console.print("load it:", markup=False)
        for line in (
            "from transformers import AutoModelForCausalLM, AutoTokenizer",
            f'model, tokenizer = (auto.from_pretrained("{export / "hf"}") '
            "for auto in (AutoModelForCausalLM, AutoTokenizer))",
        ):
            console.print(f"  {line}", markup=False, soft_wrap=True)
    for file in sorted((export / "gguf").glob("*.gguf"))[-1:]:
        console.print("serve it:", markup=False)
        console.print(f"  llama-server -m {file}", markup=False, soft_wrap=True)
        if (file.parent / "Modelfile").is_file():
            console.print(
                f"  ollama create NAME -f {file.parent / 'Modelfile'}", markup=False, soft_wrap=True
            )


def _previous(console: Console, finished: FinishedRun) -> None:
    """Print what the last run of the same name had better and worse, where there is one."""
    folder = previous_run(finished.folder)
    if folder is None:
        return
    found = compare_runs(folder, finished.folder)
    console.print(f"beside the run before, {folder.name}", markup=False, soft_wrap=True)
    show_changes(console, found)
    console.print()


def _prediction(console: Console, pairs: dict[str, list[float]]) -> None:
    table = Table(title="predicted beside measured", title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for name in ("predicted", "measured", "off by"):
        table.add_column(name, justify="right")
    shown = {
        "training_time_s": ("training time", duration),
        "step_time_s": ("step time", lambda value: f"{figure(value)} s"),
        "tokens_per_second": ("tokens a second", figure),
        "peak_memory_bytes": ("peak memory a process", size),
    }
    for key, (name, text) in shown.items():
        predicted, measured = pairs[key]
        table.add_row(name, text(predicted), text(measured), error_text(pairs[key]))
    console.print(table)
