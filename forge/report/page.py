"""What every page shares: one stylesheet, one shell, and the parts that sections are made of.

A page is one file that fetches nothing, whole without a script, and readable in light, in dark and on paper. Whatever a
document, a path or a spec says goes through `text`, so that it is shown and never acts; a content security policy says
the same to the browser.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

BAR_PERCENT = 100

STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --quiet: #5c6169; --paper: #fff; --panel: #f5f6f8; --line: #dcdfe4;
  --grid: #e8eaee; --bar: #2f6db3; --mark: #fff1c4; --good: #23794a; --bad: #b5322b; --warn: #a35a00;
  --s0: #2f6db3; --s1: #d1600a; --s2: #16835f; --s3: #9b3f94; --s4: #7a6a00; --s5: #2b8fb8; --s6: #b23a5b; --s7: #666; }
@media screen and (prefers-color-scheme: dark) { :root { --ink: #e6e7e9; --quiet: #9da3ac; --paper: #15171a;
  --panel: #1e2126; --line: #363a41; --grid: #292d33; --bar: #74a7e8; --mark: #4a4012; --good: #6cc795; --bad: #f28b82;
  --warn: #efb366; --s0: #74a7e8; --s1: #f39a52; --s2: #5cc7a0; --s3: #d79ad2; --s4: #d2c04a; --s5: #74cbea;
  --s6: #ee8fab; --s7: #aaa; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: var(--ink);
  background: var(--paper); max-width: 68rem; margin: 2rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .8rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.6rem 0 .3rem; }
p { margin: .5rem 0; max-width: 52rem; }
table { border-collapse: collapse; margin: .6rem 0; width: 100%; }
th, td { text-align: left; padding: .25rem .9rem .25rem 0; vertical-align: top; overflow-wrap: break-word; }
td a, code, .code { overflow-wrap: anywhere; }
th:last-child, td:last-child { padding-right: 0; }
th { font-weight: 600; color: var(--quiet); vertical-align: bottom; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; } td.n { white-space: nowrap; }
.beside td.n { white-space: normal; }
tr + tr td { border-top: 1px solid var(--line); }
.scroll { overflow-x: auto; }
a { color: var(--bar); } .quiet { color: var(--quiet); } mark { background: var(--mark); color: inherit; }
.small { font-size: .87rem; } .good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); }
.bar { background: var(--bar); height: .7rem; min-width: 1px; border-radius: 1px; } .wide { width: 40%; }
nav { margin: 1rem 0; display: flex; flex-wrap: wrap; gap: .1rem 1rem; }
summary { cursor: pointer; } blockquote { margin: .2rem 0 .2rem 1rem; }
code, pre, .code { font: .87em/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
pre { background: var(--panel); padding: .7rem .9rem; border-radius: 4px; white-space: pre-wrap; 
  overflow-wrap: anywhere; margin: .4rem 0 .9rem; }
.answer { font-size: 1.15rem; border-left: 4px solid var(--bar); padding-left: .8rem; }
@media (max-width: 36rem) { body { margin: 1rem auto; padding: 0 .9rem; } h1 { font-size: 1.35rem; }
  th, td { padding-right: .6rem; } }
@media print { body { max-width: none; margin: 0; padding: 0; font-size: 9.5pt; } nav { display: none; }
  :root { --ink: #000; --paper: #fff; --quiet: #444; --line: #bbb; } a { color: inherit; text-decoration: none; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  details::details-content { content-visibility: visible; display: block; } .scroll { overflow: visible; }
  h2, h3 { break-after: avoid; } tr, blockquote, figure, .keep { break-inside: avoid; } }
"""

RELOAD = """
(() => {
  const look = async () => {
    try {
      const answer = await fetch(location.href, { cache: 'no-store' });
      if (answer.ok) {
        const opened = [...document.querySelectorAll('details')].map((one) => one.open);
        const next = new DOMParser().parseFromString(await answer.text(), 'text/html').querySelector('main');
        [...next.querySelectorAll('details')].forEach((one, place) => { one.open = opened[place]; });
        document.querySelector('main').replaceWith(next);
      }
    } catch { /* the server has gone: the page stays as it is */ }
    setTimeout(look, EVERY_MS);
  };
  setTimeout(look, EVERY_MS);
})();
"""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page that its navigation names."""

    key: str
    """Its anchor."""
    title: str
    body: str
    """HTML."""


def page(
    title: str,
    generator: str,
    head: str,
    sections: Sequence[Section],
    *,
    style: str = "",
    script: str = "",
    refresh_s: int | None = None,
) -> str:
    """Return a whole page.

    Args:
        title: of the window; plain text.
        generator: what wrote it: a later forge replaces only files that it finds its own mark in.
        head: HTML above the navigation.
        sections: shown in this order, those without a body left out.
        style: CSS beside what all pages have.
        script: the one script of the page, allowed by its hash; the page must be whole without it.
        refresh_s: after how many seconds the page looks for its next state; None: it has one.
    """
    shown = [section for section in sections if section.body]
    navigation = "".join(f'<a href="#{one.key}">{text(one.title)}</a>' for one in shown)
    body = "".join(f'<section id="{one.key}"><h2>{text(one.title)}</h2>{one.body}</section>' for one in shown)
    if refresh_s is not None:
        script += RELOAD.replace("EVERY_MS", str(1000 * refresh_s))
    allowed = f"; script-src 'sha256-{_digest(script)}'" if script else ""
    refreshed = ""
    if refresh_s is not None:
        allowed += "; connect-src 'self'"
        refreshed = f'<noscript><meta http-equiv="refresh" content="{refresh_s}"></noscript>'
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="generator" content="{generator}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        f"style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'{allowed}\">"
        f'<meta name="referrer" content="no-referrer">{refreshed}'
        f"<title>{text(title)}</title><style>{STYLE}{style}</style></head><body><main>{head}"
        f"<nav>{navigation}</nav>{body}</main>"
        f"{f'<script>{script}</script>' if script else ''}</body></html>\n"
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def text(value: object) -> str:
    """Return a value as text that is shown as it is, inside an element or an attribute in quotes."""
    return html.escape(str(value), quote=True)


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    raw: bool = False,
    numbers: Collection[int] = frozenset(),
) -> str:
    """Return a table, nothing where it has no rows.

    Args:
        head: names of the columns; all empty: no head is shown.
        rows: of cells.
        raw: cells are HTML already.
        numbers: columns to align right.
    """
    kind = [' class="n"' if place in numbers else "" for place in range(len(head))]
    body = "".join(
        "<tr>"
        + "".join(f"<td{kind[place]}>{cell if raw else text(cell)}</td>" for place, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    if not body:
        return ""
    top = "".join(f"<th{kind[place]}>{text(name)}</th>" for place, name in enumerate(head))
    return f'<div class="scroll"><table>{f"<tr>{top}</tr>" if any(head) else ""}{body}</table></div>'


def listing(lines: Iterable[str]) -> str:
    """Return lines of plain text as a list."""
    return f"<ul>{''.join(f'<li>{text(line)}</li>' for line in lines)}</ul>"


def bar(share: float) -> str:
    """Return a bar as long as a share of its cell."""
    return f'<div class="bar" style="width:{share * BAR_PERCENT:.1f}%"></div>'
