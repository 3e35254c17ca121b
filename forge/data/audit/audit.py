"""The audit of documents: lake, one pass, findings, and a report of plain values that JSON can hold."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from forge.data.audit.advice import advise
from forge.data.audit.boilerplate import LineCounter
from forge.data.audit.conflicts import Surroundings, find_conflicts
from forge.data.audit.copies import NEAR_JACCARD, Fingerprints
from forge.data.audit.documents import Text, lake_texts, set_aside
from forge.data.audit.findings import Findings, Near
from forge.data.audit.report import report_of
from forge.data.audit.scan import Profile, examine_all
from forge.data.audit.stale import DEAD_LINK, OLDER_VERSION, Signal, dead
from forge.data.audit.token_count import Sample, bytes_per_token
from forge.data.components import clusters
from forge.data.duplicates import Pair
from forge.data.lake import build_lake
from forge.data.remote import is_address
from forge.data.sources import list_files, resolve_source
from forge.data.versions import Dated, Family, Kinship, find_families
from forge.data.words import split_words
from forge.progress import Progress

MAX_FILE_BYTES = 268_435_456
"""As conf/data/folder.yaml has it."""


def audit(paths: Sequence[str], as_of: date, parameters: int | None, progress: Progress) -> dict[str, Any]:
    """Look at the documents below `paths` and return the report. What is read lies in a temporary folder meanwhile.

    Args:
        paths: folders and files, or package:NAME/inner/path.
        as_of: the day it is for: what ended before is over.
        parameters: of the model that is asked about; None for the usual sizes.
        progress: is told how far it is.

    Raises:
        StageError: a path is not there, or there is no document in any of them.
    """
    sources = list(dict.fromkeys(paths))
    with tempfile.TemporaryDirectory(prefix="forge-audit-") as folder:
        lake = Path(folder)
        summary = build_lake(
            sources, {"max_file_bytes": MAX_FILE_BYTES, "metadata_allow": {}}, lake, progress
        )
        findings = look(lake, sources, as_of, progress)
        aside = set_aside(lake)
    advice = advise(
        findings.tokens.tokens(findings.usable_bytes)[0],
        parameters,
        findings.changing_share,
        len(findings.conflicts),
    )
    return report_of(findings, advice, summary, aside, sources, as_of)


def look(lake: Path, sources: Sequence[str], as_of: date, progress: Progress) -> Findings:
    """Return all findings about the documents of a lake.

    Raises:
        StageError: there is no whole lake.
    """
    roots = {source: resolve_source(source) for source in sources if not is_address(source)}
    fingerprints, lines, sample = Fingerprints(), LineCounter(), Sample()

    def also(text: Text) -> None:
        fingerprints.add(text.number, text.text, split_words(text.text))
        lines.add(text.source, text.number, text.text)
        sample.add(text.document_id, text.text)

    profiles: list[Profile] = []
    lower_words: Counter[str] = Counter()
    for profile in examine_all(lake_texts(lake, progress), as_of, roots, also):
        lower_words.update(profile.lower_words)
        profiles.append(replace(profile, lower_words=frozenset()))

    kin = Kinship([_dated(profile) for profile in profiles])
    pairs = fingerprints.pairs(kin, progress)
    exact = fingerprints.exact_groups()
    families = find_families(kin, pairs, exact, fingerprints.jaccard)
    near = _near(pairs, families)
    stale = _stale(profiles, families, sources)
    about = Surroundings(
        titles={profile.number: profile.title for profile in profiles},
        talk={profile.number for profile in profiles if profile.talk},
        over={number for number, signals in stale.items() if any(one.reason != DEAD_LINK for one in signals)},
        family_of={number: place for place, family in enumerate(families) for number in family.members},
        copy_of={
            number: group[0] for group in [*exact, *(one.documents for one in near)] for number in group[1:]
        },
        lower_words=lower_words,
    )
    conflicts = find_conflicts([claim for profile in profiles for claim in profile.claims], about)
    return Findings(
        profiles=profiles,
        exact=exact,
        near=near,
        one_shingle_in=fingerprints.one_in,
        families=families,
        stale=stale,
        conflicts=conflicts,
        boilerplate=lines.repeated(),
        tokens=bytes_per_token(sample.pieces()),
    )


def _dated(profile: Profile) -> Dated:
    return Dated(
        profile.source,
        profile.path,
        profile.part,
        profile.title,
        profile.stated.version,
        profile.day,
        profile.talk,
    )


def _near(pairs: Sequence[Pair], families: Sequence[Family]) -> list[Near]:
    """Return the groups of near copies; versions of one document are none."""
    family_of = {number: place for place, family in enumerate(families) for number in family.members}
    close = [
        pair
        for pair in pairs
        if pair.jaccard >= NEAR_JACCARD
        and not (pair.first in family_of and family_of[pair.first] == family_of.get(pair.second))
    ]
    groups = clusters([(pair.first, pair.second) for pair in close])
    group_of = {number: place for place, group in enumerate(groups) for number in group}
    least = [1.0] * len(groups)
    for pair in close:
        place = group_of[pair.first]
        least[place] = min(least[place], pair.jaccard)
    return [Near(tuple(group), jaccard) for group, jaccard in zip(groups, least, strict=True)]


def _stale(
    profiles: Sequence[Profile], families: Sequence[Family], sources: Sequence[str]
) -> dict[int, list[Signal]]:
    """Return the stale documents by number, each with its reasons."""
    stale: dict[int, list[Signal]] = {}
    linked = {profile.source for profile in profiles if profile.links}
    there = {
        source: frozenset(file.relative for file in list_files(source))
        for source in sources
        if source in linked
    }
    for profile in profiles:
        signals = list(profile.signals)
        if gone := dead(profile.path, list(profile.links), there.get(profile.source, frozenset())):
            signals.append(Signal(DEAD_LINK, ", ".join(gone)))
        if signals:
            stale[profile.number] = signals
    for family in families:
        newest = profiles[family.newest]
        for number in family.members[:-1]:
            stale.setdefault(number, []).append(Signal(OLDER_VERSION, newest.path))
    return stale
