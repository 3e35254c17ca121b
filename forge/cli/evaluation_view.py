"""An evaluation as tables: the held-out text beside its rivals, and the questions beside who else was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from forge.run.evaluation_words import (
    KINDS,
    WHO,
    bits_per_byte,
    contamination_line,
    rate,
    regurgitation_lines,
    verdicts,
)
from forge.run.quantities import counted, size

SAMPLE_CHARACTERS = 400


def show_evaluation(console: Console, evaluation: Mapping[str, Any]) -> None:
    """Print what an evaluation found."""
    _held_out(console, evaluation)
    if evaluation["recall"] is not None:
        _recall(console, evaluation["recall"])
    if evaluation["tasks"]:
        _tasks(console, evaluation["tasks"])
    console.print(contamination_line(evaluation["contamination"]), markup=False, soft_wrap=True)
    if evaluation["regurgitation"] is not None:
        for line in regurgitation_lines(evaluation["regurgitation"]):
            console.print(line, markup=False, soft_wrap=True)
        console.print()


def show_given(console: Console, content: Mapping[str, Any]) -> None:
    """Print what was found on a file that is not of the plan."""
    if "recall" in content:
        _recall(console, content["recall"])
    else:
        _given_text(console, content["text"])
    console.print(contamination_line(content["contamination"]), markup=False, soft_wrap=True)


def _given_text(console: Console, text: Mapping[str, Any]) -> None:
    table = Table(title="lower is better", title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    table.add_column("bits per byte", justify="right")
    table.add_row("this model", f"{text['bits_per_byte']:.3f}")
    table.add_row(f"xz -{text['xz_preset']}", f"{text['xz_bits_per_byte']:.3f}")
    console.print(table)
    console.print(f"{counted(text['documents'], 'document')}, {size(text['bytes'])}\n", markup=False)


def show_sample(console: Console, samples: Sequence[Mapping[str, str]]) -> None:
    """Print the first sample."""
    if not samples:
        return
    prompt, text = samples[0]["prompt"], samples[0]["text"]
    cut = text if len(text) <= SAMPLE_CHARACTERS else text[:SAMPLE_CHARACTERS].rstrip() + " ..."
    console.print("a sample", markup=False)
    console.print(f"[{prompt}]{cut}\n", markup=False, style="italic")


def _held_out(console: Console, evaluation: Mapping[str, Any]) -> None:
    table = Table(title="held-out text, lower is better", title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    table.add_column("bits per byte", justify="right")
    rows = bits_per_byte(evaluation)
    by_source = evaluation["held_out_by_source"]
    for name, bits in rows.items():
        if bits is not None:
            table.add_row(name, f"{bits:.3f}")
        if name == "this model" and len(by_source) > 1:
            for source, figures in by_source.items():
                if figures["bits_per_byte"] is not None:
                    table.add_row(Text(f"  on {source}"), f"{figures['bits_per_byte']:.3f}")
    console.print(table)
    console.print(
        f"{counted(evaluation['held_out_documents'], 'document')}, {size(evaluation['held_out_bytes'])}; "
        f"{evaluation['held_out_loss_nats_per_token']:.3f} nats a token, "
        f"perplexity {evaluation['held_out_perplexity']:.1f}",
        markup=False,
    )
    copies = evaluation["held_out_near_copies"]
    console.print(
        f"near copies of them in the training text: {copies['documents_with_near_copy']} "
        f"(closest: Jaccard {copies['highest_jaccard']:.2f})\n",
        markup=False,
    )


def _recall(console: Console, recall: Mapping[str, Any]) -> None:
    table = Table(
        title="questions: share and its 95 % interval", title_justify="left", box=None, pad_edge=False
    )
    table.add_column("")
    table.add_column("")
    for name in ("asked", "exact", "abstained", "wrong"):
        table.add_column(name, justify="right")
    for kind, shown in KINDS.items():
        for who, name in WHO.items():
            rates = recall.get(who, {}).get(kind)
            if rates is None:
                continue
            table.add_row(
                shown if who == "model" else "",
                name,
                str(rates["questions"]),
                # Of what nobody can know nothing is exact.
                "" if kind.startswith("unknown") else rate(rates, "exact"),
                *(rate(rates, mark) for mark in ("abstained", "wrong")),
            )
    console.print(table)
    for line in verdicts(recall):
        console.print(line, markup=False, soft_wrap=True)
    contrast = recall["contrast"]
    if contrast is not None:
        console.print(
            f"of {counted(contrast['questions'], 'fact')} the true value is the likeliest of four for "
            f"{contrast['true_value_likeliest_fraction']:.0%}: what is stored, not what is answered",
            markup=False,
            style="dim",
            soft_wrap=True,
        )
    console.print()


def _tasks(console: Console, tasks: Mapping[str, Mapping[str, Any]]) -> None:
    table = Table(title="standard tasks (lm-eval)", title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for name in ("figure", "", "standard error", "samples"):
        table.add_column(name, justify="right")
    for task, figures in tasks.items():
        main = figures["main"]
        if main is not None:
            error = figures.get(f"{main}_stderr")
            shown = "" if error is None else f"{error:.3f}"
            samples = figures["samples"]
            table.add_row(
                Text(task), main, f"{figures[main]:.3f}", shown, "" if samples is None else f"{samples:,}"
            )
    console.print(table)
    console.print()
