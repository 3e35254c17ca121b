"""A join on several processes is that of one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
import pytest

from forge.data import joins, prefixes
from forge.data.digests import Digests
from forge.data.join_files import Join
from forge.data.joins import Place, join_sets
from forge.data.sets import Sets, set_digest
from forge.data.workers import make_pool
from forge.progress import SilentProgress
from tests.data.test_joins import same
from tests.data.test_similarity import arrays, near_copies


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    with make_pool(2, 0) as made:
        assert made is not None
        yield made


@pytest.mark.parametrize("closest_wanted", [True, False])
@pytest.mark.parametrize("part_postings", [8_000_000, 700])
def test_shares_find_what_one_process_finds(
    closest_wanted: bool,
    part_postings: int,
    tmp_path: Path,
    pool: Executor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prefixes, "PART_POSTINGS", part_postings)
    monkeypatch.setattr(joins, "SHARED_ELEMENTS", 0)
    # Enough sets for a block of probes in each share.
    sets = list({set_digest(one): one for one in arrays([*near_copies(11, 40, 30, 30), set()])}.values())
    digests = np.frombuffer(b"".join(map(set_digest, sets)), np.uint64).reshape(-1, 2)
    (tmp_path / "flat").write_bytes(np.concatenate(sets).tobytes())
    counts = np.array([len(one) for one in sets], np.int64)
    stored = Sets.in_file(tmp_path / "flat", counts, digests)

    def joined(some: Sets, place: Place | None) -> Join:
        assert some.digests is not None
        known = Digests(some.digests)
        return join_sets(some, known, 0.6, SilentProgress(), closest_wanted=closest_wanted, place=place)

    alone = joined(stored, None)
    assert len(set(alone.components.tolist())) < 0.5 * len(sets)
    same(joined(stored, Place(pool, tmp_path)), alone)
    # The next one is of other sets of the same file.
    some = stored.take(np.arange(0, len(stored), 2)[::-1])
    same(joined(some, Place(pool, tmp_path)), joined(some, None))
    assert [path.name for path in tmp_path.iterdir()] == ["flat"]
