from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.data.loading import TokenShard, batch_sequence_indices
from forge.data.order import SequenceOrder, interleaved, read_before
from forge.data.segments import SourceRun

COUNTS = st.lists(st.integers(0, 60), min_size=1, max_size=6).filter(any)


@given(counts=COUNTS)
def test_a_pass_has_every_sequence_once_and_each_source_its_share_at_any_place(counts: list[int]) -> None:
    sizes = np.array(counts)
    total = int(sizes.sum())
    which, nth = interleaved(np.arange(total), sizes)
    assert sorted(zip(which.tolist(), nth.tolist(), strict=True)) == [
        (source, one) for source, count in enumerate(counts) for one in range(count)
    ]
    read = np.zeros(len(counts))
    for place in range(total):
        assert read_before(place, sizes).tolist() == read.tolist()
        assert (abs(read - sizes * place / total) <= len(counts)).all()
        read[which[place]] += 1
    assert read_before(total, sizes).tolist() == counts


def test_places_far_into_a_long_pass_are_found_at_once() -> None:
    counts = np.array([2_000_000_000, 700_000_001, 3])
    places = np.array([0, 1_234_567_890, 2_700_000_003])
    which, nth = interleaved(places, counts)
    for place, source, one in zip(places.tolist(), which.tolist(), nth.tolist(), strict=True):
        assert read_before(place, counts)[source] == one


def order_of(phases: list[tuple[int, dict[str, int]]], batch: int = 6, length: int = 8) -> SequenceOrder:
    """Return the order of phases of (first step, sequences of each source)."""
    runs: list[tuple[SourceRun, ...]] = []
    start = 0
    for _, sources in phases:
        runs.append(())
        for source, sequences in sources.items():
            runs[-1] += (SourceRun(source, start, sequences * length),)
            start += sequences * length
    shard = TokenShard(np.zeros(start + 1, np.uint16), phases=tuple(runs))
    return SequenceOrder.of(shard, tuple(first for first, _ in phases), batch, length, seed=7)


@given(
    phases=st.lists(
        st.tuples(
            st.integers(1, 12), st.dictionaries(st.sampled_from("abc"), st.integers(1, 30), min_size=1)
        ),
        min_size=1,
        max_size=4,
    ),
    batch=st.integers(1, 16),
)
def test_every_phase_reads_exactly_its_tokens_of_each_source(
    phases: list[tuple[int, dict[str, int]]], batch: int
) -> None:
    firsts = np.cumsum([0, *(steps for steps, _ in phases)]).tolist()
    given_phases = [(first, sources) for first, (_, sources) in zip(firsts, phases, strict=False)]
    order = order_of(given_phases, batch)
    total: Counter[str] = Counter()
    begin = 0
    for number, (steps, sources) in enumerate(phases):
        of_source = np.repeat(list(sources), list(sources.values()))
        read: Counter[int] = Counter()
        for step in range(firsts[number], firsts[number + 1]):
            indices = order.batch(step)
            assert order.phase_of(step) == number
            read.update((indices - begin).tolist())
            total.update(of_source[indices - begin].tolist())
            tokens = order.source_tokens(step + 1)
            assert tokens is not None
            assert {source: count for source, count in tokens.items() if count} == {
                source: 8 * count for source, count in total.items()
            }
        sequences = len(of_source)
        assert set(read) <= set(range(sequences))
        # Whole passes read every sequence, the one begun a part of them.
        passes, rest = divmod(steps * batch, sequences)
        times = [read[one] for one in range(sequences)]
        assert set(times) <= {passes, passes + 1}
        assert times.count(passes + 1) == rest
        for source, count in sources.items():
            own = sum(times[one] for one in np.flatnonzero(of_source == source))
            assert abs(own - steps * batch * count / sequences) <= len(sources)
        begin += sequences


def test_every_pass_and_every_phase_has_an_order_of_its_own() -> None:
    order = order_of([(0, {"a": 40, "b": 20}), (20, {"a": 40, "b": 20})])
    passes = [np.concatenate([order.batch(first + step) for step in range(10)]) for first in (0, 10, 20)]
    passes[2] = passes[2] - 60
    assert sorted(passes[0]) == sorted(passes[1]) == sorted(passes[2])
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (passes[one] == passes[other]).mean() < 0.3
    assert np.array_equal(order.batch(13), order.batch(13))


def test_without_phases_the_order_is_what_it_was() -> None:
    order = SequenceOrder.of(TokenShard(np.zeros(81, np.uint16)), (), 4, 8, seed=1234)
    assert np.array_equal(order.batch(3), batch_sequence_indices(3, 4, 10, 1234))
    assert order.epoch(5) == 2.0
    assert order.source_tokens(5) is None


def test_a_sequence_is_of_the_source_it_begins_in() -> None:
    runs = (SourceRun("a", 0, 20), SourceRun("b", 20, 5), SourceRun("c", 25, 16))
    shard = TokenShard(np.zeros(41, np.uint16), phases=(runs,))
    (phase,) = SequenceOrder.of(shard, (0,), 1, 8, seed=1).phases
    assert (phase.first.tolist(), phase.counts.tolist()) == ([0, 3, 4], [3, 1, 1])


def test_a_phase_without_a_sequence_is_an_error() -> None:
    runs = ((SourceRun("a", 0, 80),), (SourceRun("b", 80, 1),))
    order = SequenceOrder.of(TokenShard(np.zeros(81, np.uint16), phases=runs), (0, 2), 4, 8, seed=1)
    with pytest.raises(ValueError, match="phase 2"):
        order.batch(2)
