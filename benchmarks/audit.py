"""Score `forge audit` on generated messy folders: precision and recall of each finding against the planted labels.

    python -m benchmarks.audit                       all voices, seed 1
    python -m benchmarks.audit --voice held_out --seed 7 --show conflicts

The detectors were developed on the voice `dev`. `held_out` and `blind` have other names, attributes, sentences and
habits; `blind` was written when the detectors were done. Both were scored once untouched; what they showed was mended,
so the first scores are the honest ones for strangers' documents (precision / recall)

    held_out   versions 1.000 / 0.971   stale 1.000 / 0.986   conflicts 0.913 / 0.871   the others 1.000 / 1.000
    blind      versions 1.000 / 0.966   stale 0.985 / 0.970   conflicts 0.740 / 0.771   the others 1.000 / 1.000
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.messy.pages import AS_OF
from benchmarks.messy.plant import Labels
from benchmarks.messy_folder import VOICES, make_folder
from forge.data.audit.audit import audit
from forge.progress import SilentProgress

TARGETS = {
    "duplicates": (0.98, 0.98),
    "versions": (0.98, 0.98),
    "newest of a family": (0.98, 0.98),
    "stale": (0.9, 0.8),
    "conflicts": (0.9, 0.6),
    "secrets and personal data": (0.95, 0.95),
}
"""(precision, recall) asked of each finding."""


@dataclass(frozen=True)
class Score:
    """Hits and misses of one finding."""

    name: str
    wrong: tuple[str, ...]
    """Reported and not planted."""
    missed: tuple[str, ...]
    """Planted and not reported."""
    right: int

    @property
    def precision(self) -> float:
        """Share of the reported that is right."""
        return self.right / max(1, self.right + len(self.wrong))

    @property
    def recall(self) -> float:
        """Share of the planted that is reported."""
        return self.right / max(1, self.right + len(self.missed))


def score(name: str, found: Iterable[str], planted: Iterable[str], ignored: Iterable[str] = ()) -> Score:
    """Compare two sets of findings; what is `ignored` counts neither way."""
    left_out = set(ignored)
    a, b = set(found) - left_out, set(planted) - left_out
    return Score(name, tuple(sorted(a - b)), tuple(sorted(b - a)), len(a & b))


def scores(report: dict[str, Any], labels: Labels) -> list[Score]:
    """Return the score of every kind of finding."""
    duplicates = _pairs([d["path"] for d in group] for group in report["duplicates"]["exact"])
    duplicates |= _pairs([d["path"] for d in one["documents"]] for one in report["duplicates"]["near"])
    versions = _pairs([d["path"] for d in family["members"]] for family in report["versions"])
    newest = {f"{family['newest']['path']}" for family in report["versions"]}
    # Letters and chats hold addresses in their heads; a mailbox is no document.
    containers = {
        d["path"] for group in report["duplicates"]["exact"] for d in group if _in_container(d["path"])
    }
    ignored_pairs = {pair for pair in duplicates if all(side in containers for side in pair.split(" | "))}
    stale = {one["document"]["path"] for one in report["stale"]}
    secrets = {f"{place['document']['path']} {place['kind']}" for place in report["secrets"]["places"]}
    planted_secrets = {f"{one['path']} {one['kind']}" for one in labels.secrets}
    letters = {
        one
        for one in secrets
        if one.endswith(" email") and (".eml" in one or ".mbox" in one or _in_container(one))
    }
    return [
        score("duplicates", duplicates, _pairs(labels.duplicates), ignored_pairs),
        score("versions", versions, _pairs(one["members"] for one in labels.versions)),
        score("newest of a family", newest, [one["newest"] for one in labels.versions]),
        score("stale", stale, labels.stale),
        _conflicts(report["conflicts"], labels.conflicts),
        score("secrets and personal data", secrets, planted_secrets, letters),
        score(
            "without text",
            [
                one["document"]["path"]
                for one in report["without_text"]
                if one["reason"] != "index of an export"
            ],
            labels.unreadable,
        ),
        score("boilerplate", [one["line"] for one in report["boilerplate"]], labels.boilerplate),
    ]


def _pairs(groups: Iterable[Iterable[str]]) -> set[str]:
    return {
        " | ".join(sorted(pair)) for group in groups for pair in itertools.combinations(sorted(set(group)), 2)
    }


def _in_container(path: str) -> bool:
    return ".zip" in path or ".mbox" in path or ".jsonl" in path


def _conflicts(found: list[dict[str, Any]], planted: list[dict[str, Any]]) -> Score:
    """A reported conflict is right when its two passages stand in documents that were given two values of one fact."""
    wrong, hit = [], set()
    right = 0
    for one in found:
        files = [one[side]["document"]["path"] for side in ("first", "second")]
        shown = f"{one['subject']} / {one['attribute']}: " + " <> ".join(
            f"{one[side]['passage']} [{one[side]['document']['path']}]" for side in ("first", "second")
        )
        facts = [place for place, fact in enumerate(planted) if _is_of(files, one["subject"], fact)]
        if facts:
            right += 1
            hit.update(facts)
        else:
            wrong.append(shown)
    missed = [
        f"{fact['subject']} / {fact['attribute']}: {json.dumps(fact['values'])}"
        for place, fact in enumerate(planted)
        if place not in hit
    ]
    return _ConflictScore("conflicts", tuple(wrong), tuple(missed), right, len(hit))


@dataclass(frozen=True)
class _ConflictScore(Score):
    hit: int = 0
    """Planted conflicts that were reported, which one report may be several times."""

    @property
    def recall(self) -> float:
        return self.hit / max(1, self.hit + len(self.missed))


def _is_of(files: list[str], subject: str, fact: dict[str, Any]) -> bool:
    if fact["subject"].lower() != subject:
        return False
    sides = [
        [any(_same_file(file, known) for known in fact["values"][value]) for value in fact["values"]]
        for file in files
    ]
    return any(
        a and b for (n, a), (m, b) in itertools.product(enumerate(sides[0]), enumerate(sides[1])) if n != m
    )


def _same_file(path: str, known: str) -> bool:
    return path == known or path.startswith(known + "/")


def run(voice: str, seed: int, scale: float, folder: Path) -> tuple[list[Score], dict[str, Any]]:
    """Make a folder, audit it, and return the scores and the time and memory it took."""
    labels = make_folder(folder, voice, seed, scale)
    files = sum(path.is_file() for path in folder.rglob("*"))
    began_s, cpu_s = time.perf_counter(), time.process_time()
    report = audit([str(folder)], AS_OF, None, SilentProgress())
    facts = {
        "files": files,
        "documents": report["volume"]["documents"],
        "wall_s": time.perf_counter() - began_s,
        "cpu_s": time.process_time() - cpu_s,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }
    return scores(report, labels), facts


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--voice", choices=sorted(VOICES), action="append")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--show", help="print what is wrong or missed of this finding")
    options = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    for voice in options.voice or sorted(VOICES):
        with tempfile.TemporaryDirectory() as folder:
            found, facts = run(voice, options.seed, options.scale, Path(folder) / "files")
        console.print(_table(voice, options.seed, found, facts))
        for one in found:
            if options.show in (one.name, "all"):
                for line in one.wrong:
                    console.print(f"wrong   {one.name}: {line}", markup=False)
                for line in one.missed:
                    console.print(f"missed  {one.name}: {line}", markup=False)


def _table(voice: str, seed: int, found: list[Score], facts: dict[str, Any]) -> Table:
    title = (
        f"voice {voice}, seed {seed}: {facts['files']} files, {facts['documents']} documents, {facts['wall_s']:.1f} s, "
        f"{facts['cpu_s']:.1f} CPU s in this process, peak {facts['peak_rss_mb']:.0f} MB"
    )
    table = Table(
        "finding", "right", "wrong", "missed", "precision", "recall", "asked", title=title, box=None
    )
    for one in found:
        asked = TARGETS.get(one.name)
        told = "" if asked is None else f"{asked[0]:.2f} / {asked[1]:.2f}"
        if asked is not None:
            told += "" if one.precision >= asked[0] and one.recall >= asked[1] else "  not met"
        table.add_row(
            one.name,
            str(one.right),
            str(len(one.wrong)),
            str(len(one.missed)),
            f"{one.precision:.3f}",
            f"{one.recall:.3f}",
            told,
        )
    return table


if __name__ == "__main__":
    main()
