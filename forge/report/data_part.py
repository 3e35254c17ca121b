"""Where a run's text came from on its page: from files to tokens, what was left out on the way and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from forge.report.flow import Station, flow
from forge.report.page import bar, table, text
from forge.report.record import RunRecord
from forge.run.lineage import Dropped, Lineage, read_lineage
from forge.run.quantities import counted, size

MOST_REASONS = 8
MOST_ROWS = 25


def data_part(record: RunRecord) -> str:
    """Return the lineage of the data as far as it was read; nothing before the lake is there."""
    lake, corpus = record.artifacts.get("lake"), record.artifacts.get("corpus")
    if lake is None:
        return ""
    lineage = read_lineage(lake.folder, None if corpus is None else corpus.folder)
    parts = [
        flow(list(_stations(lake.summary, record.summary("corpus")))),
        _said(record.summary("corpus"), record.summary("tokens")),
        f"<h3>Sources</h3>{_sources(record, lineage)}",
        _steps(record.summary("corpus")),
        f"<h3>What kind of documents</h3>{_kinds(lineage)}",
        _dropped(lineage.dropped),
    ]
    return "".join(parts)


def _stations(lake: Mapping[str, Any], corpus: Mapping[str, Any] | None) -> Iterator[Station]:
    yield Station("files found", lake["files"], _reasons(lake["set_aside"]), lake["files_with_documents"])
    left = _reasons(corpus["set_aside"]) if corpus is not None else ()
    yield Station(
        "documents read",
        lake["documents"],
        left,
        lake["documents"] if corpus is None else corpus["documents"],
    )
    if corpus is not None:
        parts = (("to train on", corpus["train_documents"]), ("held out", corpus["held_out_documents"]))
        yield Station("documents kept", corpus["documents"], parts=parts)


def _reasons(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    ordered = Counter(counts).most_common()
    rest = sum(number for _, number in ordered[MOST_REASONS:])
    return [*ordered[:MOST_REASONS], *([("other reasons", rest)] if rest else [])]


def _said(corpus: Mapping[str, Any] | None, tokens: Mapping[str, Any] | None) -> str:
    lines = []
    if corpus is not None:
        copies = {name: number for name, number in corpus["set_aside"].items() if "duplicate" in name}
        of_copies = ", ".join(f"{number:,} {name}s" for name, number in copies.items()) or "no duplicates"
        lines.append(
            f"Left out as copies: {of_copies}. Families of texts kept: "
            f"{corpus['families']:,}, the largest of {counted(corpus['largest_family_documents'], 'document')}; "
            "none is on both sides of the split."
        )
    if tokens is not None:
        lines.append(
            f"{tokens['train_tokens']:,} tokens to train on and {tokens['held_out_tokens']:,} held out, "
            f"{tokens['train_bytes_per_token']:.2f} bytes a token."
        )
    return "".join(f"<p>{text(line)}</p>" for line in lines)


def _sources(record: RunRecord, lineage: Lineage) -> str:
    tokens = (record.summary("tokens") or {}).get("sources", {})
    most = max((found["train_tokens"] for found in tokens.values()), default=0) or 1
    files = {source.path: source for source in record.plan.sources}
    rows = []
    for name in list(dict.fromkeys([*files, *lineage.by_source]))[:MOST_ROWS]:
        held, found, trained = files.get(name), lineage.by_source.get(name), tokens.get(name)
        rows.append(
            (
                f'<span class="code">{text(name)}</span>',
                f"{held.files:,}" if held else "",
                f"{found.read:,}" if found else "",
                f"{found.kept:,}" if found and found.kept else "",
                size(found.kept_bytes) if found and found.kept else "",
                f"{trained['train_tokens']:,}" if trained else "",
                bar(trained["train_tokens"] / most) if trained and len(tokens) > 1 else "",
            )
        )
    head = ("source", "files", "read", "kept", "text kept", "tokens to train on", "")
    return table(head, rows, raw=True, numbers={1, 2, 3, 4, 5})


def _steps(corpus: Mapping[str, Any] | None) -> str:
    if corpus is None:
        return ""
    rows = [
        (
            step["step"].replace("_", " "),
            f"{step['documents_in']:,}",
            f"{step['set_aside']:,}" if step["set_aside"] else "",
            f"{step['changed']:,}" if step["changed"] else "",
        )
        for step in corpus["steps"]
    ]
    head = ("step of the curation", "documents in", "set aside", "changed")
    return f"<h3>Curation</h3>{table(head, rows, numbers={1, 2, 3})}"


def _kinds(lineage: Lineage) -> str:
    tables = [
        _shares("language", _known(lineage.by_language, "not known")),
        _shares("year of last change", _known(lineage.by_year, "not known")),
        _shares("type", lineage.by_type),
    ]
    of = ""
    if lineage.documents_counted < lineage.documents:
        of = (
            f'<p class="quiet small">Of {lineage.documents_counted:,} of the {lineage.documents:,} documents, spread '
            "evenly over the lake.</p>"
        )
    return of + "".join(tables)


def _known(counts: Mapping[str, int], unknown: str) -> dict[str, int]:
    return {name or unknown: number for name, number in counts.items()}


def _shares(name: str, counts: Mapping[str, int]) -> str:
    most, total = max(counts.values(), default=1) or 1, sum(counts.values()) or 1
    if len(counts) == 1:
        return f"<p>{text(name.capitalize())}: {text(next(iter(counts)))} throughout.</p>"
    shown = list(counts.items())[:MOST_ROWS]
    rows = [(text(key), f"{number:,}", f"{number / total:.1%}", bar(number / most)) for key, number in shown]
    rest = len(counts) - len(shown)
    more = f'<p class="quiet small">and {rest:,} more</p>' if rest else ""
    return f'<div class="shares">{table((name, "documents", "", ""), rows, raw=True, numbers={1, 2})}{more}</div>'


def _dropped(dropped: tuple[Dropped, ...]) -> str:
    rows = [
        (
            text(one.reason),
            f'<span class="code">{text(one.path)}</span><br><span class="quiet">{text(one.detail)}</span>'
            + (f"<blockquote>{text(one.passage)}</blockquote>" if one.passage else ""),
        )
        for one in dropped
    ]
    if not rows:
        return ""
    return (
        f"<details><summary><h3 style='display:inline'>A few of what was left out</h3> "
        f'<span class="quiet">{len(rows)} documents, with their beginnings</span></summary>'
        f'<p class="quiet small">Personal data and secrets are replaced. The whole lists are set_aside.parquet of the '
        f"lake and of the corpus.</p>{table(('why', 'what'), rows, raw=True)}</details>"
    )
