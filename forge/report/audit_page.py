"""An audit as one HTML file: no script, no network, readable in light, in dark and on paper."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

MOST_LISTED = 500
"""Of each list; audit.json has all."""
BAR_PERCENT = 100

STYLE = """
:root { color-scheme: light dark; --ink: #1c1d1f; --quiet: #5d6168; --paper: #fff; --line: #d9dbdf; --bar: #3b6fb6;
  --mark: #fff4cf; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --quiet: #9aa0a8; --paper: #16181b; --line: #34373c;
  --bar: #6fa0e6; --mark: #4a4012; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 64rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem;
  border-bottom: 1px solid var(--line); }
table { border-collapse: collapse; margin: .6rem 0; width: 100%; }
th, td { text-align: left; padding: .2rem .6rem .2rem 0; vertical-align: top; overflow-wrap: anywhere; }
th { font-weight: 600; color: var(--quiet); } td.n, th.n { text-align: right; white-space: nowrap; }
tr + tr td { border-top: 1px solid var(--line); }
a { color: var(--bar); } .quiet { color: var(--quiet); } mark { background: var(--mark); color: inherit; }
.bar { background: var(--bar); height: .7rem; min-width: 1px; } .wide { width: 40%; }
nav a { margin-right: 1rem; } summary { cursor: pointer; } blockquote { margin: .2rem 0 .2rem 1rem; }
.answer { font-size: 1.15rem; border-left: 4px solid var(--bar); padding-left: .8rem; }
@media print { body { max-width: none; margin: 0; font-size: 10pt; } nav { display: none; }
  :root { --ink: #000; --paper: #fff; --quiet: #444; --line: #bbb; } a { color: inherit; text-decoration: none; }
  h2 { break-after: avoid; } tr, blockquote { break-inside: avoid; } }
"""

SECTIONS = (
    ("advice", "What this data can do"),
    ("volume", "What is there"),
    ("conflicts", "Conflicts"),
    ("stale", "Stale documents"),
    ("versions", "Version families"),
    ("copies", "Copies"),
    ("secrets", "Personal data and secrets"),
    ("quality", "Quality"),
    ("boilerplate", "Boilerplate"),
    ("without-text", "Without text"),
)


def audit_page(report: Mapping[str, Any]) -> str:
    """Return the page for a report as `forge audit` writes it to audit.json."""
    makers: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "advice": _advice,
        "volume": _volume,
        "conflicts": _conflicts,
        "stale": _stale,
        "versions": _versions,
        "copies": _copies,
        "secrets": _secrets,
        "quality": _quality,
        "boilerplate": _boilerplate,
        "without-text": _without_text,
    }
    title = f"Audit of {', '.join(report['paths'])}"
    navigation = "".join(f'<a href="#{key}">{name}</a>' for key, name in SECTIONS)
    sections = "".join(
        f'<section id="{key}"><h2>{name}</h2>{makers[key](report)}</section>' for key, name in SECTIONS
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="generator" content="forge audit">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{_text(title)}</title><style>{STYLE}</style></head><body><h1>{_text(title)}</h1>"
        f'<p class="quiet">As of {_text(report["as_of"])}. Every path opens its document.</p><nav>{navigation}</nav>'
        f"{sections}</body></html>\n"
    )


def _advice(report: Mapping[str, Any]) -> str:
    advice = report["advice"]
    needs = _table(
        ("parameters", "tokens asked", "epochs", "verdict"),
        [
            (
                _size(one["parameters"]),
                _size(one["compute_optimal_tokens"]),
                f"{one['epochs']:,.1f}",
                one["verdict"],
            )
            for one in advice["needs"]
        ],
        numbers={0, 1, 2},
    )
    return (
        f'<p class="answer"><b>{_text(advice["recommendation"])}</b></p>{_list(advice["reasons"])}{needs}'
        f"<p>The largest model that these tokens train compute-optimally in four epochs: "
        f"{_size(advice['largest_from_scratch_parameters'])} parameters.</p>"
        f"<p>What would change the answer:</p>{_list(advice['would_change'])}"
        '<p class="quiet">Tokens asked: 20 a parameter (Hoffmann et al. 2022, arXiv:2203.15556). Up to four epochs '
        "cost next to nothing, more are worth less and less (Muennighoff et al. 2023, arXiv:2305.16264).</p>"
    )


def _volume(report: Mapping[str, Any]) -> str:
    volume, tokens, usable = report["volume"], report["tokens"], report["usable"]
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in usable["left_out"].items()) or "nothing"
    parts = [
        f"<p>{volume['documents']:,} documents in {volume['files']:,} files, {_bytes(volume['bytes'])}, "
        f"{volume['words']:,} words. About <b>{tokens['tokens']:,}</b> tokens ({tokens['tokens_low']:,} to "
        f"{tokens['tokens_high']:,}): {tokens['bytes_per_token']:.2f} bytes a token, {_text(tokens['how'])}.</p>"
        f"<p>Usable: <b>{usable['tokens']:,}</b> tokens in {usable['documents']:,} documents; left out: "
        f"{_text(left_out)}.</p>"
    ]
    for key, name in (
        ("by_source", "folder"),
        ("by_type", "type"),
        ("by_year", "year"),
        ("by_language", "language"),
    ):
        most = max((row["bytes"] for row in volume[key]), default=1) or 1
        rows = [
            f'<tr><td>{_text(row["name"])}</td><td class="n">{row["documents"]:,}</td>'
            f'<td class="n">{_bytes(row["bytes"])}</td>'
            f'<td class="n">{row["tokens"]:,}</td><td class="wide">{_bar(row["bytes"] / most)}</td></tr>'
            for row in volume[key]
        ]
        columns = "".join(f'<th class="n">{column}</th>' for column in ("documents", "text", "tokens"))
        head = f"<tr><th>{name}</th>{columns}<th></th></tr>"
        parts.append(f"<table>{head}{''.join(rows)}</table>")
    return "".join(parts)


def _conflicts(report: Mapping[str, Any]) -> str:
    conflicts = report["conflicts"]
    parts = []
    for one in conflicts[:MOST_LISTED]:
        sides = "".join(_side(one[side], one["newer"] == side) for side in ("first", "second"))
        others = "".join(_side(claim, False) for claim in one["others"])
        more = (
            f"<details><summary>{len(one['others'])} more passages on it</summary>{others}</details>"
            if others
            else ""
        )
        parts.append(f"<h3>{_text(one['subject'])}: {_text(one['attribute'])}</h3>{sides}{more}")
    return _counted(conflicts, "places where documents contradict each other.") + "".join(parts)


def _side(claim: Mapping[str, Any], newer: bool) -> str:
    passage = _text(claim["passage"]).replace(
        _text(claim["value"]), f"<mark>{_text(claim['value'])}</mark>", 1
    )
    day = claim["document"]["date"]
    remark = ", ".join([f"line {claim['line']}", *([day] if day else []), *(["newer"] if newer else [])])
    where = f'{_link(claim["document"])} <span class="quiet">{_text(remark)}</span>'
    return f"<blockquote>{passage}<br>{where}</blockquote>"


def _stale(report: Mapping[str, Any]) -> str:
    rows = [
        (
            _link(one["document"]),
            "<br>".join(_text(why["reason"]) for why in one["reasons"]),
            "<br>".join(_text(why["passage"]) for why in one["reasons"]),
        )
        for one in report["stale"][:MOST_LISTED]
    ]
    return _counted(report["stale"], "documents that are over, or link to what is gone.") + _table(
        ("document", "why", "which words say so"), rows, raw=True
    )


def _versions(report: Mapping[str, Any]) -> str:
    rows = [
        (
            _link(one["newest"]),
            "<br>".join(_link(member) for member in one["members"][:-1]),
            _text(one["told_by"]),
        )
        for one in report["versions"][:MOST_LISTED]
    ]
    return _counted(report["versions"], "documents of which there are several versions.") + _table(
        ("newest", "older", "told by"), rows, raw=True
    )


def _copies(report: Mapping[str, Any]) -> str:
    duplicates = report["duplicates"]
    exact = [("same text", _links(group)) for group in duplicates["exact"][:MOST_LISTED]]
    near = [
        (f"Jaccard {one['jaccard']:.3f}", _links(one["documents"]))
        for one in duplicates["near"][:MOST_LISTED]
    ]
    thinned = (
        ""
        if duplicates["one_shingle_in"] == 1
        else f'<p class="quiet">So much text that one in {duplicates["one_shingle_in"]} runs of words was '
        "compared: near copies are estimates.</p>"
    )
    return (
        _counted(duplicates["exact"], "groups with the same text, case and white space aside.")
        + _table(("", "documents"), exact, raw=True)
        + _counted(
            duplicates["near"],
            "groups that share four fifths of their runs of five words, and are no versions.",
        )
        + thinned
        + _table(("", "documents"), near, raw=True)
    )


def _secrets(report: Mapping[str, Any]) -> str:
    secrets = report["secrets"]
    kinds = [
        (
            one["kind"],
            "personal data" if one["personal"] else "secret",
            f"{one['values']:,}",
            f"{one['documents']:,}",
        )
        for one in secrets["by_kind"]
    ]
    places = [
        (
            _text(one["kind"]),
            f"{_link(one['document'])} <span class=quiet>line {one['line']}</span>",
            _text(one["masked"]),
        )
        for one in secrets["places"][:MOST_LISTED]
    ]
    return (
        _table(("kind", "", "values", "documents"), kinds, numbers={2, 3})
        + _counted(secrets["places"], "places. No value is shown or kept.")
        + _table(("kind", "where", "form"), places, raw=True)
    )


def _quality(report: Mapping[str, Any]) -> str:
    quality = report["quality"]
    most = max((row["documents"] for row in quality["histogram"]), default=1) or 1
    rows = "".join(
        f'<tr><td class="n">{row["from"]:.1f} to {row["to"]:.1f}</td><td class="n">{row["documents"]:,}</td>'
        f'<td class="wide">{_bar(row["documents"] / most)}</td></tr>'
        for row in quality["histogram"]
    )
    lowest = [(f"{one['score']:.2f}", _link(one["document"])) for one in quality["lowest"]]
    return (
        f'<p class="quiet">Mean of: {_text("; ".join(quality["signals"]))}. It judges no document by itself.</p>'
        f'<table><tr><th class="n">score</th><th class="n">documents</th><th></th></tr>{rows}</table>'
        f"<details><summary>The {len(lowest)} "
        f"lowest</summary>{_table(('score', 'document'), lowest, raw=True)}</details>"
    )


def _boilerplate(report: Mapping[str, Any]) -> str:
    rows = [
        (_text(one["line"]), f"{one['documents']:,}", _bytes(one["bytes"]), _link(one["example"]))
        for one in report["boilerplate"]
    ]
    return _counted(report["boilerplate"], "lines that many documents of a source share.") + _table(
        ("line", "documents", "repeats", "for example"), rows, raw=True, numbers={1, 2}
    )


def _without_text(report: Mapping[str, Any]) -> str:
    rows = [
        (_link(one["document"]), _text(one["reason"]), _text(one["detail"]))
        for one in report["without_text"][:MOST_LISTED]
    ]
    return _counted(report["without_text"], "files, or parts of files, that gave no text.") + _table(
        ("file", "reason", "detail"), rows, raw=True
    )


def _counted(rows: Sequence[Any], what: str) -> str:
    shown = f" The first {MOST_LISTED:,} are listed; audit.json has all." if len(rows) > MOST_LISTED else ""
    return f"<p>{len(rows):,} {_text(what)}{shown}</p>"


def _table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    raw: bool = False,
    numbers: frozenset[int] | set[int] = frozenset(),
) -> str:
    """Return a table. `raw`: cells are HTML already. `numbers`: columns to align right."""
    kind = [' class="n"' if place in numbers else "" for place in range(len(head))]
    body = "".join(
        "<tr>"
        + "".join(f"<td{kind[place]}>{cell if raw else _text(cell)}</td>" for place, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    if not body:
        return ""
    return f"<table><tr>{''.join(f'<th{kind[n]}>{_text(name)}</th>' for n, name in enumerate(head))}</tr>{body}</table>"


def _list(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{_text(line)}</li>' for line in lines)}</ul>"


def _links(documents: Iterable[Mapping[str, Any]]) -> str:
    return "<br>".join(map(_link, documents))


def _link(document: Mapping[str, Any]) -> str:
    part = f" · {document['part']}" if document["part"] else ""
    return f'<a href="{_text(document["link"])}">{_text(document["path"])}</a>{part}'


def _bar(share: float) -> str:
    return f'<div class="bar" style="width:{share * BAR_PERCENT:.1f}%"></div>'


def _text(value: str) -> str:
    return html.escape(value, quote=True)


def _bytes(value: float) -> str:
    for size, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= size:
            return f"{value / size:.1f} {name}"
    return f"{value:.0f} bytes"


def _size(value: float) -> str:
    for size, name in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{name}"
    return f"{value:.0f}"
