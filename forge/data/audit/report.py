"""The report of an audit: findings as plain values, every document with its link, no secret in any passage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any

from forge.data.audit.advice import Advice
from forge.data.audit.claims import Claim
from forge.data.audit.conflicts import Conflict
from forge.data.audit.findings import Findings
from forge.data.audit.quality import BINS, SIGNALS
from forge.data.audit.scan import Profile
from forge.data.audit.secrets import without_secrets
from forge.data.remote import is_address
from forge.data.sensitive import PERSONAL
from forge.data.sources import PACKAGE_PREFIX, resolve_source

FORMAT = 1
LOWEST_QUALITY = 50
"""Documents listed."""
MOST_BOILERPLATE = 200
TYPES = {
    "text/markdown": "Markdown",
    "text/plain": "plain text",
    "text/html": "HTML",
    "text/csv": "CSV",
    "text/tab-separated-values": "TSV",
    "text/x-rst": "reStructuredText",
    "application/pdf": "PDF",
    "application/jsonl": "JSON Lines",
    "application/json": "JSON",
    "message/rfc822": "e-mail",
    "application/vnd.slack.messages+json": "Slack",
    "application/vnd.apache.parquet": "Parquet",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "Word",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "PowerPoint",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "Excel",
}


def report_of(
    findings: Findings,
    advice: Advice,
    lake_summary: Mapping[str, Any],
    aside: Sequence[Mapping[str, Any]],
    sources: Sequence[str],
    as_of: date,
) -> dict[str, Any]:
    """Return the report. Its lists are whole; whoever shows them may show less."""
    refer = _Links(findings.profiles, sources)
    profiles = findings.profiles
    volume_bytes = sum(profile.size_bytes for profile in profiles)
    left_out = findings.not_usable
    return {
        "format": FORMAT,
        "as_of": as_of.isoformat(),
        "paths": list(sources),
        "volume": {
            "files": lake_summary["files"],
            "files_set_aside": lake_summary["files_set_aside"],
            "documents": len(profiles),
            "bytes": volume_bytes,
            "words": sum(profile.words for profile in profiles),
            "by_source": _volume(findings, lambda profile: _source(profile, len(sources))),
            "by_type": _volume(findings, lambda profile: TYPES.get(profile.mime, profile.mime)),
            "by_year": _volume(findings, lambda profile: str(profile.day.year) if profile.day else "undated"),
            "by_language": _volume(findings, lambda profile: profile.language),
        },
        "tokens": _tokens(findings, volume_bytes)
        | {
            "bytes_per_token": findings.tokens.middle,
            "bytes_per_token_low": findings.tokens.low,
            "bytes_per_token_high": findings.tokens.high,
            "how": findings.tokens.how,
        },
        "usable": {
            "documents": len(profiles) - len(left_out),
            "bytes": findings.usable_bytes,
            "left_out": dict(sorted(Counter(left_out.values()).items())),
            **_tokens(findings, findings.usable_bytes),
        },
        "duplicates": {
            "exact": [[refer(number) for number in group] for group in findings.exact],
            "near": [
                {"documents": [refer(number) for number in one.documents], "jaccard": round(one.jaccard, 4)}
                for one in findings.near
            ],
            "one_shingle_in": findings.one_shingle_in,
        },
        "versions": [
            {
                "newest": refer(family.newest),
                "members": [refer(number) for number in family.members],
                "told_by": family.why,
            }
            for family in findings.families
        ],
        "stale": [
            {
                "document": refer(number),
                "reasons": [
                    {"reason": one.reason, "passage": without_secrets(one.passage)}
                    for one in findings.stale[number]
                ],
            }
            for number in sorted(findings.stale)
        ],
        "conflicts": [_conflict(conflict, profiles, refer) for conflict in findings.conflicts],
        "quality": _quality(profiles, refer),
        "boilerplate": [
            {
                "line": without_secrets(one.line),
                "source": one.source,
                "documents": one.documents,
                "bytes": one.bytes,
                "example": refer(one.first_document),
            }
            for one in findings.boilerplate[:MOST_BOILERPLATE]
        ],
        "secrets": _secrets(profiles, refer),
        "without_text": [
            {"document": refer.aside(row), "reason": row["reason"], "detail": without_secrets(row["detail"])}
            for row in aside
        ],
        "advice": asdict(advice),
    }


class _Links:
    """Makes references to documents: path, title, and a link that opens the file."""

    def __init__(self, profiles: Sequence[Profile], sources: Sequence[str]) -> None:
        self._profiles = profiles
        self._roots = {
            source: resolve_source(source).absolute() for source in sources if not is_address(source)
        }
        self._known: dict[tuple[str, str], str] = {}

    def __call__(self, number: int) -> dict[str, Any]:
        profile = self._profiles[number]
        return {
            "id": profile.document_id,
            "path": profile.path,
            "part": profile.part,
            "title": without_secrets(profile.title),
            "date": profile.day.isoformat() if profile.day else None,
            "link": self._link(profile.source, profile.path),
        }

    def aside(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return a reference to what has no document."""
        return {"path": row["path"], "part": row["part"], "link": self._link(row["source"], row["path"])}

    def _link(self, source: str, path: str) -> str:
        key = source, path
        if source not in self._roots:
            return f"{source.rstrip('/')}/{path}"
        if key not in self._known:
            root = self._roots[source]
            place = root / path if root.is_dir() else root
            # A document within an archive is opened by the archive.
            while not place.exists() and place != root:
                place = place.parent
            self._known[key] = place.as_uri()
        return self._known[key]


def _source(profile: Profile, sources: int) -> str:
    parts = PurePosixPath(profile.path).parts
    folder = parts[0] if len(parts) > 1 else "."
    if sources == 1:
        return folder
    shown = profile.source if profile.source.startswith(PACKAGE_PREFIX) else Path(profile.source).name
    return shown if folder == "." else f"{shown}/{folder}"


def _volume(findings: Findings, key: Callable[[Profile], str]) -> list[dict[str, Any]]:
    documents: Counter[str] = Counter()
    size_bytes: Counter[str] = Counter()
    for profile in findings.profiles:
        name = key(profile)
        documents[name] += 1
        size_bytes[name] += profile.size_bytes
    return [
        {"name": name, "documents": documents[name], "bytes": size, "tokens": findings.tokens.tokens(size)[0]}
        for name, size in sorted(size_bytes.items(), key=lambda item: (-item[1], item[0]))
    ]


def _tokens(findings: Findings, size_bytes: int) -> dict[str, int]:
    middle, low, high = findings.tokens.tokens(size_bytes)
    return {"tokens": middle, "tokens_low": low, "tokens_high": high}


def _conflict(conflict: Conflict, profiles: Sequence[Profile], refer: _Links) -> dict[str, Any]:
    days = [profiles[claim.document].day for claim in (conflict.first, conflict.second)]
    newer = None
    if days[0] and days[1] and days[0] != days[1]:
        newer = "first" if days[0] > days[1] else "second"
    return {
        "subject": conflict.subject,
        "attribute": conflict.attribute,
        "newer": newer,
        "first": _claim(conflict.first, refer),
        "second": _claim(conflict.second, refer),
        "others": [_claim(claim, refer) for claim in conflict.others],
    }


def _claim(claim: Claim, refer: _Links) -> dict[str, Any]:
    return {
        "value": without_secrets(claim.shown_value),
        "passage": without_secrets(claim.sentence),
        "line": claim.line,
        "document": refer(claim.document),
    }


def _quality(profiles: Sequence[Profile], refer: _Links) -> dict[str, Any]:
    counts = Counter(min(BINS - 1, int(profile.quality * BINS)) for profile in profiles)
    lowest = sorted(profiles, key=lambda profile: (profile.quality, profile.number))[:LOWEST_QUALITY]
    return {
        "signals": list(SIGNALS),
        "histogram": [
            {"from": place / BINS, "to": (place + 1) / BINS, "documents": counts[place]}
            for place in range(BINS)
        ],
        "lowest": [{"document": refer(one.number), "score": round(one.quality, 3)} for one in lowest],
    }


def _secrets(profiles: Sequence[Profile], refer: _Links) -> dict[str, Any]:
    values: Counter[str] = Counter()
    documents: Counter[str] = Counter()
    for profile in profiles:
        values.update(profile.secret_counts)
        documents.update(profile.secret_counts.keys())
    return {
        "by_kind": [
            {"kind": kind, "personal": kind in PERSONAL, "values": values[kind], "documents": documents[kind]}
            for kind in sorted(values, key=lambda kind: (kind in PERSONAL, -values[kind], kind))
        ],
        "places": [
            {
                "kind": place.kind,
                "document": refer(place.document),
                "line": place.line,
                "masked": place.masked,
            }
            for profile in profiles
            for place in profile.secrets
        ],
    }
