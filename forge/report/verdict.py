"""What a run came to, in a sentence or two, and its main figures."""

from __future__ import annotations

from collections.abc import Iterable

from forge.plan.types import Plan
from forge.report.page import text
from forge.report.record import RunRecord
from forge.run.headlines import proven
from forge.run.quantities import count, counted, duration, money, size

VERDICT_STYLE = """
.verdict { font-size: 1.15rem; line-height: 1.5; max-width: 54rem; margin: .9rem 0 1.2rem; }
.state { display: inline-block; font-size: .8rem; font-weight: 600; padding: .05rem .55rem; border-radius: 1rem;
  border: 1px solid currentColor; vertical-align: .2em; margin-left: .5rem; white-space: nowrap; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .7rem; margin: 1.1rem 0; }
.tile { background: var(--panel); border-radius: 6px; padding: .65rem .85rem; }
.tile b { display: block; font-size: 1.3rem; font-weight: 600; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tile span { color: var(--quiet); font-size: .87rem; display: block; line-height: 1.35; }
@media (max-width: 36rem) { .tiles { grid-template-columns: 1fr 1fr; } }
@media print { .tile { border: 1px solid var(--line); } }
"""

TASKS = {"pretrain": "trained", "sft": "taught to answer", "dpo": "taught which answers are preferred"}


def state_of(record: RunRecord) -> tuple[str, str]:
    """Return a word for the state of a run, and the class of its color."""
    if record.is_done:
        return "done", "good"
    if record.failure is not None:
        return "failed", "bad"
    return "not finished", "warn"


def verdict(record: RunRecord) -> str:
    """Return what was trained, on what, how well and for how much, in sentences of plain text."""
    parts = [_trained(record), _how_well(record), _for_how_much(record), _exported(record)]
    return " ".join(part for part in parts if part)


def tiles(record: RunRecord) -> str:
    """Return the main figures, each with what to hold it against."""
    return f'<div class="tiles">{"".join(_tile(*one) for one in _figures(record))}</div>'


def model_name(plan: Plan) -> str:
    """Return what kind of model a plan trains: 'llama of 3.41M parameters'."""
    return f"{plan.model.family} of {count(plan.model.parameters)} parameters"


def _trained(record: RunRecord) -> str:
    plan = record.plan
    begins = (
        f", going on from {', '.join(source.path for source in plan.initial_weights)},"
        if plan.initial_weights
        else ""
    )
    done, last = record.summary("train") is not None, record.history.last_step
    if done:
        start = f"A {model_name(plan)}{begins} was {TASKS[plan.schedule.task]} on {count(plan.schedule.tokens)} tokens"
    elif last:
        start = (
            f"A {model_name(plan)}{begins} is at step {last:,} of {plan.schedule.steps:,}, "
            f"{count(last * plan.schedule.global_batch_tokens)} of {count(plan.schedule.tokens)} tokens"
        )
    else:
        start = (
            f"A {model_name(plan)}{begins} is to be {TASKS[plan.schedule.task]} on "
            f"{count(plan.schedule.tokens)} tokens"
        )
    corpus, tokens = record.summary("corpus"), record.summary("tokens")
    if corpus is None:
        return f"{start}."
    passes = "" if tokens is None or not done else _passes(plan.schedule.tokens, tokens.get("train_tokens"))
    return f"{start} from {counted(corpus['train_documents'], 'document')}{passes}."


def _passes(tokens: int, of: int | None) -> str:
    if not of:
        return ""
    share = tokens / of
    return f" ({share:.1f} times their text)" if share >= 1.05 else f" ({share:.0%} of their text)"


def _how_well(record: RunRecord) -> str:
    evaluation = record.summary("evaluate")
    if evaluation is None:
        step, losses = record.history.evaluated("held_out_loss")
        return f"Its held-out loss was {losses[-1]:.3f} at step {step[-1]:,.0f}." if losses else ""
    rivals = evaluation["baselines"]
    bits, unigram = evaluation["held_out_bits_per_byte"], rivals["unigram_bits_per_byte"]
    line = (
        f"On held-out text it needs {bits:.3f} bits a byte, where a unigram model needs {unigram:.3f} and "
        f"xz {rivals['xz_bits_per_byte']:.3f}."
    )
    recall = evaluation["recall"]
    known = recall["model"].get("known") if recall is not None else None
    if known is not None:
        line += f" It answers {known['exact_fraction']:.0%} of {known['questions']:,} questions right without looking"
        found = recall.get("retrieval", {}).get("known")
        line += "." if found is None else f"; a search over the same documents {found['exact_fraction']:.0%}."
    recited = evaluation["regurgitation"]
    if recited is not None and recited["passages"]:
        line += f" It recites {recited['verbatim']:,} of {recited['passages']:,} training passages."
    return line


def _for_how_much(record: RunRecord) -> str:
    training = record.summary("train")
    if training is None:
        spent_s = record.history.training_s
        return f"Training has taken {duration(spent_s)} so far." if spent_s else ""
    layout = record.plan.layout
    where = f"{layout.world_size} × {layout.gpu}" if layout.device == "cuda" else "the CPU"
    cost = record.measured().get("cost_usd")
    price = f" and cost {money(cost[1])}" if cost else ""
    started = ""
    if training["attempts"] > 1:
        started = f", started {training['attempts']} times"
    return f"Training took {duration(training['wall_clock_s'])} on {where}{started}{price}."


def _exported(record: RunRecord) -> str:
    export = record.summary("export")
    if export is None:
        return ""
    forms = {"hf": "a Hugging Face folder", "gguf": "GGUF files"}
    shown = proven(export["proof"])
    return f"Exported as {' and '.join(forms[name] for name in export['proof'])}: {shown}."


def _figures(record: RunRecord) -> Iterable[tuple[str, str, str]]:
    """Yield value, name and remark of each figure."""
    plan, history = record.plan, record.history
    evaluation, training = record.summary("evaluate"), record.summary("train")
    if evaluation is not None:
        yield (
            f"{evaluation['held_out_bits_per_byte']:.3f}",
            "bits per byte, held out",
            f"unigram {evaluation['baselines']['unigram_bits_per_byte']:.3f}",
        )
    _, losses = history.series("loss")
    if training is not None:
        yield f"{training['final_loss']:.3f}", "final loss", f"from {training['first_loss']:.3f}"
    elif losses:
        yield f"{losses[-1]:.3f}", "loss now", f"from {losses[0]:.3f}"
    if training is None and plan.schedule.steps:
        yield (
            f"{history.last_step / plan.schedule.steps:.0%}",
            "of the steps",
            f"{history.last_step:,} of {plan.schedule.steps:,}",
        )
    measured = record.measured()
    for key, name, form in (
        ("wall_clock_s", "training time", duration),
        ("cost_usd", "cost", money),
        ("tokens_per_second", "tokens a second", lambda value: f"{value:,.0f}"),
        (
            "peak_memory_bytes",
            "peak memory a process" if plan.layout.device == "cpu" else "peak memory a GPU",
            size,
        ),
    ):
        if key in measured:
            predicted, found = measured[key]
            yield form(found), name, f"predicted {form(predicted)}"
    if history.attempts:
        restarts = sum(one.kind == "restart" for one in history.happenings)
        yield str(restarts), "restarts after failures", counted(history.attempts, "start") + " in all"


def _tile(value: str, name: str, remark: str) -> str:
    return f'<div class="tile keep"><b>{text(value)}</b>{text(name)}<span>{text(remark)}</span></div>'
