import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from forge.data.decisions import _DECISIONS
from forge.data.document_steps import DOCUMENT_STEPS
from forge.data.passes import EDITING, plan_passes
from forge.data.tasks import bucket_count, bucket_of, buckets_of
from forge.spec.schema import load_schema_file

STEPS = load_schema_file("data")["properties"]["curate"]["items"]["enum"]


def test_the_schema_names_the_steps_there_are() -> None:
    assert set(STEPS) == {*DOCUMENT_STEPS, *_DECISIONS, "boilerplate"}


@given(
    steps=st.permutations(STEPS).flatmap(lambda order: st.integers(0, len(order)).map(lambda n: order[:n]))
)
def test_steps_keep_their_order_and_see_the_texts_that_earlier_ones_left(steps: list[str]) -> None:
    passes = plan_passes(steps)
    assert [step for one in passes for step in (*one.document_steps, *one.corpus_steps)] == steps
    assert not set(passes[-1].corpus_steps) & set(EDITING)
    for one in passes:
        # What is decided after an edit was decided on the text before it: an edit ends its pass.
        assert not set(one.corpus_steps[:-1]) & set(EDITING)


def test_the_defaults_go_through_the_texts_three_times() -> None:
    default = load_schema_file("data")["properties"]["curate"]["default"]
    assert len(plan_passes(default)) == 3


@given(ids=st.lists(st.integers(0, 2**64 - 1), min_size=2), size=st.integers(0, 1 << 40))
def test_buckets_in_order_hold_ids_in_order(ids: list[int], size: int) -> None:
    buckets = bucket_count(size)
    names = sorted(f"{number:016x}" for number in ids)
    places = [bucket_of(name, buckets) for name in names]
    assert places == sorted(places)
    assert 0 <= places[0] <= places[-1] < buckets
    assert buckets_of(pa.chunked_array([names]), buckets).tolist() == places
