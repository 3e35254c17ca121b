"""Names: of the company, near misses of them, and names that are nobody's."""

from __future__ import annotations

import random
from collections.abc import Iterator

from benchmarks.messy import dev

ONSETS = "b br d dr f fl g gr h k kl l m n p pr r s st t tr v w z".split()
VOWELS = "a e i o u au ei".split()
CODAS = "ck l ld m n nd r rn s st th x".split()
NOUNS = tuple(
    "Gateway Ledger Scheduler Archive Insights Connect Vault Monitor Studio Relay Planner Desk Exchange Capture "
    "Analytics Portal Forms Billing Atlas Bridge Canvas Courier Dispatch Engine Folio Forge Harbor Index Journal "
    "Kiosk Lens Matrix Notebook Orbit Pipeline Query Register Sentinel Tracker Umbrella Viewer Workbench Beacon "
    "Compass Foundry Granary Hopper Lattice".split()
)
STRANGE_NOUNS = tuple(
    "Abacus Bellows Carousel Dynamo Easel Furnace Gondola Hammock Icebox Jukebox Kettle Lantern Mandolin Needle "
    "Oboe Parasol Quiver Rudder Saddle Teapot Urn Violin Wagon Xylophone Yacht Zither".split()
)
STRANGE_FIRST = tuple("Abel Bianca Cosmo Delia Egon Fiona Gustav Hilda Ivo Judith Kaspar Lydia".split())
STRANGE_LAST = tuple("Quist Rosander Silber Tanning Ullman Vestergaard Wexler Yorke Zabel Ostrow".split())


class Names:
    """Makes names and never one twice."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._stems: set[str] = set()

    def products(self, count: int) -> list[str]:
        """Return names of two words; no two share one. At most as many as there are NOUNS."""
        return [f"{self._stem()} {noun}" for noun in self._rng.sample(NOUNS, count)]

    def people(self, count: int) -> list[str]:
        """Return first and last names; many share one of the two."""
        return self._rng.sample([f"{a} {b}" for a in dev.FIRST for b in dev.LAST], count)

    def strange_products(self) -> Iterator[str]:
        """Yield names that share no word with the company's."""
        while True:
            yield f"{self._stem()} {self._rng.choice(STRANGE_NOUNS)}"

    def strange_people(self) -> Iterator[str]:
        """Yield names that share no word with the company's people."""
        everyone = [f"{a} {b}" for a in STRANGE_FIRST for b in STRANGE_LAST]
        yield from self._rng.sample(everyone, len(everyone))

    def _stem(self) -> str:
        choice = self._rng.choice
        while True:
            stem = (choice(ONSETS) + choice(VOWELS) + choice(ONSETS) + choice(VOWELS) + choice(CODAS)).title()
            if stem not in self._stems:
                self._stems.add(stem)
                return stem


def near_misses(rng: random.Random, names: list[str]) -> list[str]:
    """Return every name made of the first word of one of `names` and the last of another, in a random order."""
    known = set(names)
    firsts, lasts = (sorted({name.split()[place] for name in names}) for place in (0, 1))
    mixed = [f"{a} {b}" for a in firsts for b in lasts if f"{a} {b}" not in known]
    rng.shuffle(mixed)
    return mixed
