"""A run's evaluation on its page: figures beside their rivals, gates, what it recites, samples, and a run before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from forge.report.page import bar, table, text
from forge.report.record import RunRecord
from forge.run.evaluation_words import (
    KINDS,
    WHO,
    bits_per_byte,
    change_lines,
    contamination_line,
    rate,
    regurgitation_lines,
    verdicts,
)
from forge.run.gates import lines_of_gates
from forge.run.quantities import counted, size

SAMPLE_CHARACTERS = 2_000
MOST_QUESTIONS = 40
MARKS = ("exact", "abstained", "wrong")
GATES = "evaluate.gates."


def evaluation_part(record: RunRecord) -> str:
    """Return what the evaluation found; nothing before there is one."""
    found = record.summary("evaluate")
    if found is None:
        return ""
    parts = [
        _held_out(found),
        _recall(found["recall"]) if found["recall"] is not None else "",
        _tasks(found["tasks"]),
        "<h3>Overlap and recitation</h3>",
        _sentence(contamination_line(found["contamination"])),
        _regurgitation(found["regurgitation"]),
        _gates(record, found),
        samples_part(found["samples"]),
    ]
    return "".join(parts)


def _sentence(line: str) -> str:
    line = line.strip()
    return f"<p>{text(line[:1].upper() + line[1:])}.</p>"


def _held_out(found: Mapping[str, Any]) -> str:
    rows = {name: bits for name, bits in bits_per_byte(found).items() if bits is not None}
    most = max(rows.values())
    shown = [(text(name), f"{bits:.3f}", bar(bits / most)) for name, bits in rows.items()]
    by_source = [
        (text(source), f"{figures['documents']:,}", f"{figures['bits_per_byte']:.3f}")
        for source, figures in found["held_out_by_source"].items()
        if figures["bits_per_byte"] is not None
    ]
    copies = found["held_out_near_copies"]
    head = ("held-out text, lower is better", "bits per byte", "")
    sources = table(("source", "documents", "bits per byte"), by_source, raw=True, numbers={1, 2})
    return (
        f'<div class="shares">{table(head, shown, raw=True, numbers={1})}</div>'
        f"<p>{counted(found['held_out_documents'], 'document')}, {size(found['held_out_bytes'])}; "
        f"{found['held_out_loss_nats_per_token']:.3f} nats a token, perplexity {found['held_out_perplexity']:,.1f}. "
        f"Near copies of them in the training text: {copies['documents_with_near_copy']:,}, the closest at Jaccard "
        f"{copies['highest_jaccard']:.2f}.</p>{sources if len(by_source) > 1 else ''}"
    )


def _recall(recall: Mapping[str, Any]) -> str:
    rows = []
    for kind, name in KINDS.items():
        for who, asked in WHO.items():
            rates = recall.get(who, {}).get(kind)
            if rates is not None:
                # Of what nobody can know nothing is exact.
                exact = "" if kind.startswith("unknown") else rate(rates, "exact")
                marks = (exact, *(rate(rates, mark) for mark in MARKS[1:]))
                rows.append((name if who == "model" else "", asked, f"{rates['questions']:,}", *marks))
    lines = "".join(f"<li>{text(line.strip())}</li>" for line in verdicts(recall))
    contrast = recall["contrast"]
    stored = (
        ""
        if contrast is None
        else _sentence(
            f"of {counted(contrast['questions'], 'fact')} the true value is the likeliest of four for "
            f"{contrast['true_value_likeliest_fraction']:.0%}: what is stored, not what is answered"
        )
    )
    return (
        "<h3>Questions, nothing to read</h3>"
        f"{table(('questions', 'asked of', 'asked', *MARKS), rows, numbers={2, 3, 4, 5})}"
        f'<p class="quiet small">Shares in per cent with their 95 % intervals; retrieval is a BM25 search over the '
        f"training documents.</p><ul>{lines}</ul>{stored}"
    )


def _tasks(tasks: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for task, figures in tasks.items():
        if (main := figures["main"]) is not None:
            error = figures.get(f"{main}_stderr")
            rows.append((task, main, f"{figures[main]:.3f}", "" if error is None else f"{error:.3f}"))
    shown = table(("standard task", "figure", "", "standard error"), rows, numbers={2, 3})
    return f"<h3>Standard tasks (lm-eval)</h3>{shown}" if shown else ""


def _regurgitation(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return '<p class="quiet">Whether it recites training text was not asked.</p>'
    return "".join(map(_sentence, regurgitation_lines(found)))


def _gates(record: RunRecord, found: Mapping[str, Any]) -> str:
    gates = record.plan.spec.get("evaluate", {}).get("gates", {})
    bounds = {f"{GATES}{name}": bound for name, bound in gates.items() if bound not in (None, {})}
    if not bounds:
        return "<h3>Gates</h3><p class='quiet'>None were set.</p>"
    broken = {line.partition(": ")[0]: line.partition(": ")[2] for line in lines_of_gates(record.plan, found)}
    rows = []
    for name, bound in bounds.items():
        lines = [said for key, said in broken.items() if key == name or key.startswith(f"{name}.")]
        said = (
            f'<span class="bad">{text("; ".join(lines))}</span>'
            if lines
            else '<span class="good">kept</span>'
        )
        rows.append((text(name.removeprefix(GATES)), text(bound), said))
    return f"<h3>Gates</h3>{table(('gate', 'bound', ''), rows, raw=True)}"


def samples_part(samples: Sequence[Mapping[str, str]]) -> str:
    """Return what the model writes, after what it was given."""
    shown = "".join(
        f"<pre><b>{text(one['prompt'])}</b>{text(one['text'][:SAMPLE_CHARACTERS])}</pre>" for one in samples
    )
    return f"<h3>What it writes</h3>{shown}" if shown else ""


def regression_part(found: Mapping[str, Any] | None, before: str) -> str:
    """Return what `compare_evaluations` found against the run of the name `before`."""
    if found is None:
        return ""
    rows = []
    for name, (one, other) in found["metrics"].items():
        gap = "" if one is None or other is None else f"{other - one:+.4f}"
        rows.append((name.replace("_", " "), _figure(one), _figure(other), gap))
    parts = [
        f"<p>Beside <b>{text(before)}</b>.</p>",
        *map(_sentence, change_lines(found)),
        table(("figure", "that run", "this run", "difference"), rows, numbers={1, 2, 3}),
    ]
    questions = found["questions"]
    for name in ("broken", "fixed"):
        if questions is not None and questions[name]:
            parts.append(_changed(name, questions[name]))
    return "".join(parts)


def _changed(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    shown = [
        (row["question"], row["answers"][0] if row["answers"] else "(abstain)", *row["replies"])
        for row in rows[:MOST_QUESTIONS]
    ]
    rest = len(rows) - len(shown)
    more = f'<p class="quiet small">and {rest:,} more: forge compare --json has all</p>' if rest else ""
    return f"<h3>{name}: {len(rows):,}</h3>{table(('question', 'right', 'before', 'after'), shown)}{more}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
