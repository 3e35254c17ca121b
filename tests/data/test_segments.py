import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from forge.data.segments import lay_out_segments

DOCUMENTS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 100)), min_size=1, max_size=40)
WEIGHTS = st.dictionaries(st.sampled_from("abc"), st.floats(0, 3), min_size=1)


@given(documents=DOCUMENTS, phases=st.lists(WEIGHTS, min_size=1, max_size=4), packed=st.booleans())
def test_every_phase_has_the_weighted_tokens_of_each_source_in_a_run_of_its_own(
    documents: list[tuple[str, int]], phases: list[dict[str, float]], packed: bool
) -> None:
    sources, sizes = [source for source, _ in documents], np.array([size for _, size in documents])
    length = 64 if packed else None
    order, packing, runs = lay_out_segments(sources, sizes, phases, length)
    assert len(runs) == len(phases)
    begin = 0
    for weights, of_phase in zip(phases, runs, strict=True):
        for source in weights:
            own = sizes[np.array(sources) == source]
            run = [each for each in of_phase if each.source == source]
            wanted = weights[source] * own.sum()
            pieces = [
                place
                for place, start in enumerate(packing.start.tolist())
                if run and run[0].start <= start < run[0].start + run[0].tokens
            ]
            tokens = int(packing.tokens[pieces].sum())
            assert abs(tokens - wanted) <= own.max(initial=0) / 2 + 1e-6
            assert {sources[place] for place in order[packing.document[pieces]]} <= {source}
            if run and not packed:
                assert run[0].tokens == tokens
        for one in of_phase:
            assert one.start == begin
            assert not packed or one.tokens % 64 == 0
            begin += one.tokens
    assert int(packing.tokens.sum()) == int(sizes[order[packing.document]].sum()) or packed
    ends = packing.start + packing.tokens
    assert (packing.start[1:] >= ends[:-1]).all()
    assert begin == (packing.sequences * 64 if packed else int(packing.tokens.sum()))


def test_a_phase_goes_on_where_the_one_before_left_off() -> None:
    half = {"a": 0.5}
    order, _, _ = lay_out_segments(["a"] * 4, np.array([1, 1, 1, 1]), [half, half, half], None)
    assert order.tolist() == [0, 1, 2, 3, 0, 1]
