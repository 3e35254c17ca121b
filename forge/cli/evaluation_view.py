"""An evaluation as tables: the held-out text beside its rivals, and the questions beside who else was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from forge.run.quantities import counted, size

SAMPLE_CHARACTERS = 400

WHO = {
    "model": "this model",
    "retrieval": "retrieval",
    "rival": "rival",
    "rival_reading": "rival, reading",
}
TEXTS = {"held_out": "held-out documents", "text": "documents of the file"}
SURE_P = 0.05
"""From here on a difference may be chance."""
KINDS = {
    "seen": "asked in training",
    "document": "stated, not asked",
    "untaught": "not in training",
    "other": "your questions",
    "unknown_near": "unknown, near name",
    "unknown_far": "unknown, far name",
}


def show_evaluation(console: Console, evaluation: Mapping[str, Any]) -> None:
    """Print what an evaluation found."""
    _held_out(console, evaluation)
    if evaluation["recall"] is not None:
        _recall(console, evaluation["recall"])
    if evaluation["tasks"]:
        _tasks(console, evaluation["tasks"])
    _contamination(console, evaluation["contamination"])
    if evaluation["regurgitation"] is not None:
        _regurgitation(console, evaluation["regurgitation"])


def show_given(console: Console, content: Mapping[str, Any]) -> None:
    """Print what was found on a file that is not of the plan."""
    if "recall" in content:
        _recall(console, content["recall"])
    else:
        _given_text(console, content["text"])
    _contamination(console, content["contamination"])


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
    rivals = evaluation["baselines"]
    table = Table(title="held-out text, lower is better", title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    table.add_column("bits per byte", justify="right")
    rows = {
        "this model": evaluation["held_out_bits_per_byte"],
        f"xz -{rivals['xz_preset']}, having read the training text": rivals[
            "xz_with_training_text_bits_per_byte"
        ],
        f"xz -{rivals['xz_preset']}": rivals["xz_bits_per_byte"],
        "unigram model": rivals["unigram_bits_per_byte"],
    }
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
                "" if kind.startswith("unknown") else _rate(rates, "exact"),
                *(_rate(rates, mark) for mark in ("abstained", "wrong")),
            )
    console.print(table)
    for line in _verdicts(recall):
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


def _verdicts(recall: Mapping[str, Any]) -> list[str]:
    """Return in plain words where another than the model has more right, and where the model has."""
    lines = []
    for who, by_kind in recall["against"].items():
        for kind, what in (("known", "answers"), ("unknown", "admitted gaps")):
            pair = by_kind.get(kind)
            if pair is None:
                continue
            ahead = pair["only_other_right"] - pair["only_model_right"]
            chance = f"p = {pair['p_value']:.2g}" + (", may be chance" if pair["p_value"] >= SURE_P else "")
            counts = (
                f"{pair['only_other_right']} right that the model has wrong, "
                f"{pair['only_model_right']} the other way round, {chance}"
            )
            if ahead > 0:
                lines.append(f"{WHO[who]} wins on {what}: {counts}")
            elif ahead < 0:
                lines.append(f"the model beats {WHO[who]} on {what}: {counts}")
            else:
                lines.append(f"{WHO[who]} and the model are equal on {what}: {counts}")
            if ahead > 0 and who == "retrieval" and kind == "known" and pair["p_value"] < SURE_P:
                lines.append(
                    "  a search over these documents answers more than this model: do not train for recall"
                )
    if recall["retrieval_not_measured"] is not None:
        lines.append(f"retrieval was not measured: {recall['retrieval_not_measured']}")
    return lines


def _rate(rates: Mapping[str, Any], name: str) -> str:
    low, high = rates[f"{name}_interval_95"]
    return f"{rates[f'{name}_fraction']:.0%} {100 * low:.0f}-{100 * high:.0f}"


def _contamination(console: Console, found: Mapping[str, Any]) -> None:
    names = TEXTS | {kind: f"questions ({name})" for kind, name in KINDS.items()}
    shown = [
        f"{some['texts_contaminated']} of {some['texts']} {names[name]}"
        for name, some in found["sets"].items()
        if some["texts_contaminated"]
    ]
    dropped = ", left out above" if found.get("action") == "drop" else ""
    console.print(
        f"in the training text by a run of {found['run_words']} words: "
        f"{', '.join(shown) + dropped if shown else 'nothing of the evaluation'}",
        markup=False,
        soft_wrap=True,
    )


def _regurgitation(console: Console, found: Mapping[str, Any]) -> None:
    line = (
        f"of {counted(found['passages'], 'training passage')}, given {found['prefix_tokens']} tokens, recited word for "
        f"word for {found['continued_tokens']}"
    )
    if not found["passages"]:
        console.print(f"{line}: documents are too short to try\n", markup=False, soft_wrap=True)
        return
    console.print(f"{line}: {_rate(found, 'verbatim')}", markup=False, soft_wrap=True)
    read = {f"read {some['from']:g} to {some['below']:g} times": some for some in found["by_times_read"]}
    families = {
        "without a near copy"
        if some["below"] == 2
        else f"in families of {some['from']:g} to {some['below'] - 1:g} documents": some
        for some in found["by_near_copies"]
    }
    for buckets in (read, families):
        # One line alone would say the same again, and where nothing is recited each says so.
        for name, some in buckets.items() if len(buckets) > 1 and found["verbatim_fraction"] else ():
            console.print(f"  {name}: {_rate(some, 'verbatim')} of {some['passages']}", markup=False)
    console.print()
