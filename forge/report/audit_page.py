"""An audit as one HTML file: no script, no network, readable in light, in dark and on paper."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from forge.report.page import Section, bar, listing, page, table, text

MOST_LISTED = 500
"""Of each list; audit.json has all."""
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
    head = f'<h1>{text(title)}</h1><p class="quiet">As of {text(report["as_of"])}. Every path opens its document.</p>'
    sections = [Section(key, name, makers[key](report)) for key, name in SECTIONS]
    return page(title, "forge audit", head, sections)


def _advice(report: Mapping[str, Any]) -> str:
    advice = report["advice"]
    needs = table(
        ("parameters", "tokens asked", "epochs", "verdict"),
        [
            (
                _size(one["parameters"]),
                _size(one["compute_optimal_tokens"]),
                f"{one['epochs']:,.{0 if one['epochs'] >= 100 else 1}f}",
                one["verdict"],
            )
            for one in advice["needs"]
        ],
        numbers={0, 1, 2},
    )
    return (
        f'<p class="answer"><b>{text(advice["recommendation"])}</b></p>{listing(advice["reasons"])}{needs}'
        f"<p>The largest model that these tokens train compute-optimally in four epochs: "
        f"{_size(advice['largest_from_scratch_parameters'])} parameters.</p>"
        f"<p>What would change the answer:</p>{listing(advice['would_change'])}"
        '<p class="quiet">Tokens asked: 20 a parameter (Hoffmann et al. 2022, arXiv:2203.15556). Up to four epochs '
        "cost next to nothing, more are worth less and less (Muennighoff et al. 2023, arXiv:2305.16264).</p>"
    )


def _more(passages: int) -> str:
    return f"{passages:,} more passage{'s' if passages > 1 else ''}"


def _volume(report: Mapping[str, Any]) -> str:
    volume, tokens, usable = report["volume"], report["tokens"], report["usable"]
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in usable["left_out"].items()) or "nothing"
    parts = [
        f"<p>{volume['documents']:,} documents in {volume['files']:,} files, {_bytes(volume['bytes'])}, "
        f"{volume['words']:,} words. About <b>{tokens['tokens']:,}</b> tokens ({tokens['tokens_low']:,} to "
        f"{tokens['tokens_high']:,}): {tokens['bytes_per_token']:.2f} bytes a token, {text(tokens['how'])}.</p>"
        f"<p>Usable: <b>{usable['tokens']:,}</b> tokens in {usable['documents']:,} documents; left out: "
        f"{text(left_out)}.</p>"
    ]
    for key, name in (
        ("by_source", "folder"),
        ("by_type", "type"),
        ("by_year", "year"),
        ("by_language", "language"),
    ):
        most = max((row["bytes"] for row in volume[key]), default=1) or 1
        rows = [
            f'<tr><td>{text(row["name"])}</td><td class="n">{row["documents"]:,}</td>'
            f'<td class="n">{_bytes(row["bytes"])}</td>'
            f'<td class="n">{row["tokens"]:,}</td><td class="wide">{bar(row["bytes"] / most)}</td></tr>'
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
            f"<details><summary>{_more(len(one['others']))} on it</summary>{others}</details>"
            if others
            else ""
        )
        parts.append(f"<h3>{text(one['subject'])}: {text(one['attribute'])}</h3>{sides}{more}")
    return _counted(conflicts, "places where documents contradict each other.") + "".join(parts)


def _side(claim: Mapping[str, Any], newer: bool) -> str:
    passage = text(claim["passage"]).replace(text(claim["value"]), f"<mark>{text(claim['value'])}</mark>", 1)
    day = claim["document"]["date"]
    remark = ", ".join([f"line {claim['line']}", *([day] if day else []), *(["newer"] if newer else [])])
    where = f'{_link(claim["document"])} <span class="quiet">{text(remark)}</span>'
    return f"<blockquote>{passage}<br>{where}</blockquote>"


def _stale(report: Mapping[str, Any]) -> str:
    rows = [
        (
            _link(one["document"]),
            "<br>".join(text(why["reason"]) for why in one["reasons"]),
            "<br>".join(text(why["passage"]) for why in one["reasons"]),
        )
        for one in report["stale"][:MOST_LISTED]
    ]
    return _counted(report["stale"], "documents that are over, or link to what is gone.") + table(
        ("document", "why", "which words say so"), rows, raw=True
    )


def _versions(report: Mapping[str, Any]) -> str:
    rows = [
        (
            _link(one["newest"]),
            "<br>".join(_link(member) for member in one["members"][:-1]),
            text(one["told_by"]),
        )
        for one in report["versions"][:MOST_LISTED]
    ]
    return _counted(report["versions"], "documents of which there are several versions.") + table(
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
        + table(("", "documents"), exact, raw=True)
        + _counted(
            duplicates["near"],
            "groups that share four fifths of their runs of five words, and are no versions.",
        )
        + thinned
        + table(("", "documents"), near, raw=True)
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
            text(one["kind"]),
            f"{_link(one['document'])} <span class=quiet>line {one['line']}</span>",
            text(one["masked"]),
        )
        for one in secrets["places"][:MOST_LISTED]
    ]
    return (
        table(("kind", "", "values", "documents"), kinds, numbers={2, 3})
        + _counted(secrets["places"], "places. No value is shown or kept.")
        + table(("kind", "where", "form"), places, raw=True)
    )


def _quality(report: Mapping[str, Any]) -> str:
    quality = report["quality"]
    most = max((row["documents"] for row in quality["histogram"]), default=1) or 1
    rows = "".join(
        f'<tr><td class="n">{row["from"]:.1f} to {row["to"]:.1f}</td><td class="n">{row["documents"]:,}</td>'
        f'<td class="wide">{bar(row["documents"] / most)}</td></tr>'
        for row in quality["histogram"]
    )
    lowest = [(f"{one['score']:.2f}", _link(one["document"])) for one in quality["lowest"]]
    return (
        f'<p class="quiet">Mean of: {text("; ".join(quality["signals"]))}. It judges no document by itself.</p>'
        f'<table><tr><th class="n">score</th><th class="n">documents</th><th></th></tr>{rows}</table>'
        f"<details><summary>The {len(lowest)} "
        f"lowest</summary>{table(('score', 'document'), lowest, raw=True)}</details>"
    )


def _boilerplate(report: Mapping[str, Any]) -> str:
    rows = [
        (text(one["line"]), f"{one['documents']:,}", _bytes(one["bytes"]), _link(one["example"]))
        for one in report["boilerplate"]
    ]
    return _counted(report["boilerplate"], "lines that many documents of a source share.") + table(
        ("line", "documents", "repeats", "for example"), rows, raw=True, numbers={1, 2}
    )


def _without_text(report: Mapping[str, Any]) -> str:
    rows = [
        (_link(one["document"]), text(one["reason"]), text(one["detail"]))
        for one in report["without_text"][:MOST_LISTED]
    ]
    return _counted(report["without_text"], "files, or parts of files, that gave no text.") + table(
        ("file", "reason", "detail"), rows, raw=True
    )


def _counted(rows: Sequence[Any], what: str) -> str:
    shown = f" The first {MOST_LISTED:,} are listed; audit.json has all." if len(rows) > MOST_LISTED else ""
    return f"<p>{len(rows):,} {text(what)}{shown}</p>"


def _links(documents: Iterable[Mapping[str, Any]]) -> str:
    return "<br>".join(map(_link, documents))


def _link(document: Mapping[str, Any]) -> str:
    part = f" · {document['part']}" if document["part"] else ""
    return f'<a href="{text(document["link"])}">{text(document["path"])}</a>{part}'


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
