"""What joins of near duplicates and of families cost beside those of an earlier corpus, in CPU seconds of one process.

    python -m benchmarks.joins FOLDER [--every N] [--copies N]

FOLDER is the one of `benchmarks.data`. Of its documents one in a hundred is new, or gone, or one is new and another one
gone, as where files were changed. With --copies N the sets of each document are there N times, each copy with elements
of its own. Last come 2,000 sets made of one form. Each result is held against a whole pass, and must be the same.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.data import JACCARD, SHINGLE_WORDS, _texts
from benchmarks.documentation import fetch
from forge.data.join_files import Join
from forge.data.joins import Joins
from forge.data.sets import Ints, Sets, set_digest
from forge.data.shingles import shingle_sets
from forge.data.word_codes import word_codes
from forge.progress import SilentProgress

FAMILIES_JACCARD = 0.5
FORM_SETS = 2_000
NEW, GONE = 7, 9
"""Of a hundred documents, the one that is new and the one that is gone."""


def distinct_sets(texts: list[str]) -> tuple[list[npt.NDArray[np.uint64]], Ints]:
    """Return the different sets of shingles that are not empty, and the number of the first document of each."""
    found: dict[bytes, tuple[npt.NDArray[np.uint64], int]] = {}
    for number, one in enumerate(shingle_sets(list(word_codes(texts)), SHINGLE_WORDS)):
        if len(one):
            found.setdefault(set_digest(one), (one, number))
    return [one for one, _ in found.values()], np.array([number for _, number in found.values()])


def write_sets(path: Path, sets: list[npt.NDArray[np.uint64]]) -> Sets:
    """Write sets to a file, where a corpus has them too."""
    np.concatenate(sets).tofile(path)
    counts = np.array([len(one) for one in sets])
    digests = np.frombuffer(b"".join(map(set_digest, sets)), np.uint64).reshape(-1, 2)
    return Sets.in_file(path, counts, digests)


def copied(
    sets: list[npt.NDArray[np.uint64]], numbers: Ints, copies: int
) -> tuple[list[npt.NDArray[np.uint64]], Ints]:
    """Return sets and their numbers several times over: another odd factor gives each copy elements of its own."""
    factors = [np.uint64(2 * copy + 1) for copy in range(copies)]
    return [np.sort(one * factor) for factor in factors for one in sets], np.tile(numbers, copies)


def of_one_form(count: int) -> list[npt.NDArray[np.uint64]]:
    """Return sets of nearly the same 260 elements: 4 in a hundred are missing, and ten are a set's own."""
    source = np.random.default_rng(0)
    form = source.integers(0, 2**63, 260, np.uint64)
    return [
        np.unique(np.r_[form[source.random(260) > 0.04], source.integers(0, 2**63, 10, np.uint64)])
        for _ in range(count)
    ]


def join(folder: Path, name: str, sets: Sets, earlier: str | None) -> tuple[Join, Join]:
    """Join `sets` beside what is in `earlier`; print what it took."""
    out = folder / name.replace(" ", "-")
    out.mkdir()
    joins = Joins(None if earlier is None else folder / earlier, out)
    began_s = time.process_time()
    assert sets.digests is not None
    near = joins.join("near_duplicates", sets, sets.digests, JACCARD, SilentProgress())
    between_s = time.process_time()
    kept = sets.take(np.flatnonzero(near.components == np.arange(len(sets))))
    assert kept.digests is not None
    families = joins.join(
        "families", kept, kept.digests, FAMILIES_JACCARD, SilentProgress(), closest_wanted=False
    )
    ended_s = time.process_time()
    print(
        f"| {name} | {between_s - began_s:.2f} ({near.compared:,} of {len(sets):,}) "
        f"| {ended_s - between_s:.2f} ({families.compared:,} of {len(kept):,}) | {ended_s - began_s:.2f} |",
        flush=True,
    )
    return near, families


def same(one: tuple[Join, Join], two: tuple[Join, Join]) -> None:
    """Raise SystemExit where two results differ."""
    for mine, other in zip(one, two, strict=True):
        for name in ("components", "closest", "jaccards"):
            if not np.array_equal(getattr(mine, name), getattr(other, name)):
                raise SystemExit(f"{name} are not those of a whole pass")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--copies", type=int, default=1)
    given = parser.parse_args()
    fetch(given.folder / "documents")
    texts = list(_texts(sorted((given.folder / "documents").glob("*.jsonl"))))[:: given.every]
    sets, numbers = copied(*distinct_sets(texts), given.copies)
    form = of_one_form(FORM_SETS)
    chosen = {"all": numbers >= 0, "most": numbers % 100 != NEW, "left": numbers % 100 != GONE}
    with tempfile.TemporaryDirectory(prefix="forge-joins-") as place:
        folder = Path(place)
        stored = {
            name: write_sets(folder / f"{name}.u64", [sets[one] for one in np.flatnonzero(which)])
            for name, which in chosen.items()
        }
        print("| | near duplicates, CPU s (compared) | families, CPU s (compared) | both, CPU s |")
        print("|---|---|---|---|")
        join(folder, "without the new ones", stored["most"], None)
        whole = join(folder, "from nothing", stored["all"], None)
        same(whole, join(folder, "1 % new", stored["all"], "without-the-new-ones"))
        same(whole, join(folder, "nothing new", stored["all"], "from-nothing"))
        left = join(folder, "without those that are gone", stored["left"], None)
        same(left, join(folder, "1 % gone", stored["left"], "from-nothing"))
        same(left, join(folder, "1 % changed", stored["left"], "without-the-new-ones"))
        most = write_sets(folder / "most-of-one-form.u64", form[FORM_SETS // 100 :])
        every = write_sets(folder / "of-one-form.u64", form)
        join(folder, "of one form, without the new ones", most, None)
        whole = join(folder, "of one form, from nothing", every, None)
        same(whole, join(folder, "of one form, 1 % new", every, "of-one-form,-without-the-new-ones"))


if __name__ == "__main__":
    main()
