import hashlib
import itertools

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from forge.data.columns import digest_column, digest_keys, digests_of_hex, flat_lists, lists_column

KIND = pa.large_list(pa.uint64())
NUMBERS = st.lists(st.integers(0, 2**64 - 1), max_size=4)


def digests(count: int) -> list[bytes]:
    return [hashlib.sha256(str(number).encode()).digest()[:16] for number in range(count)]


@given(count=st.integers(0, 9), first=st.integers(0, 9))
def test_hashes_are_numbers_and_back(count: int, first: int) -> None:
    column = pa.chunked_array([pa.array(digests(count), pa.binary(16)), pa.array([], pa.binary(16))])
    part = column.slice(min(first, count))
    keys = digest_keys(part)
    assert [key.tobytes() for key in keys] == part.to_pylist()
    assert digest_column(keys).to_pylist() == part.to_pylist()
    assert digest_column(keys[::-1]).to_pylist() == part.to_pylist()[::-1]


def test_written_hashes_are_cut_in_half() -> None:
    full = [hashlib.sha256(str(number).encode()) for number in range(5)]
    keys = digests_of_hex(pa.chunked_array([pa.array([one.hexdigest() for one in full])]))
    assert [key.tobytes() for key in keys] == [one.digest()[:16] for one in full]


@given(lists=st.lists(st.none() | NUMBERS), first=st.integers(0, 5))
def test_lists_keep_their_numbers_and_what_is_missing(lists: list[list[int] | None], first: int) -> None:
    arrays: list[npt.NDArray[np.uint64] | None] = [
        None if one is None else np.array(one, np.uint64) for one in lists
    ]
    column = lists_column(arrays, KIND)
    assert column.to_pylist() == lists
    there = pa.chunked_array([column]).drop_null().slice(first)
    flat, borders = flat_lists(there)
    found = [flat[begin:end].tolist() for begin, end in itertools.pairwise(borders)]
    assert found == [one for one in lists if one is not None][first:]
