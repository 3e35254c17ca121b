from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load

from forge.engine.fragments import KINDS, Fragment, copy_values, host_copy
from forge.engine.shards import Piece, read_fragments, read_weights, write_shards


def cut(name: str, numel: int, borders: list[int], first_value: float = 0.0) -> list[Fragment]:
    """Return a parameter of `numel` counting elements as fragments between `borders`."""
    whole = {kind: first_value + 1000.0 * place + torch.arange(numel) for place, kind in enumerate(KINDS)}
    edges = [0, *sorted(set(borders) - {0, numel}), numel]
    return [
        Fragment(name, (numel,), start, {kind: value[start:end] for kind, value in whole.items()})
        for start, end in itertools.pairwise(edges)
    ]


def written(
    fragments_by_rank: list[list[Fragment]], folder: Path, shard_bytes: int
) -> dict[str, list[Piece]]:
    pieces: dict[str, list[Piece]] = {}
    for rank, fragments in enumerate(fragments_by_rank):
        for shard in write_shards(fragments, folder, rank, shard_bytes):
            assert (folder / shard.name).stat().st_size == shard.size_bytes
            for piece in shard.pieces:
                pieces.setdefault(piece.name, []).append(piece)
    return pieces


@settings(max_examples=40, deadline=None)
@given(
    numel=st.integers(1, 60),
    before=st.lists(st.integers(0, 60), max_size=4),
    after=st.lists(st.integers(0, 60), max_size=4),
    shard_bytes=st.sampled_from([12, 60, 10_000]),
)
def test_what_one_cut_wrote_any_other_reads(
    numel: int,
    before: list[int],
    after: list[int],
    shard_bytes: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    old = cut("w", numel, [border % numel for border in before])
    pieces = written([[fragment] for fragment in old], folder, shard_bytes)
    assert sum(piece.numel for piece in pieces["w"]) == numel
    new = cut("w", numel, [border % numel for border in after])
    empty = [Fragment(f.name, f.shape, f.start, {k: torch.zeros(f.numel) for k in KINDS}) for f in new]
    read_fragments(empty, pieces, folder)
    for found, expected in zip(empty, new, strict=True):
        for kind in KINDS:
            assert torch.equal(found.values[kind], expected.values[kind].float())


def test_a_file_holds_no_more_than_it_may(tmp_path: Path) -> None:
    shards = write_shards([*cut("a", 100, []), *cut("b", 7, [])], tmp_path, rank=3, shard_bytes=12 * 40)
    assert [sum(piece.numel for piece in shard.pieces) for shard in shards] == [40, 40, 27]
    assert [shard.name for shard in shards] == [f"rank00003-0000{n}.safetensors" for n in range(3)]


def test_a_parameter_that_is_not_there_as_a_whole_is_refused(tmp_path: Path) -> None:
    first, _ = cut("w", 10, [4])
    pieces = written([[first]], tmp_path, 1_000)
    (whole,) = cut("w", 10, [])
    with pytest.raises(ValueError, match="w is not there as a whole"):
        read_fragments([whole], pieces, tmp_path)
    with pytest.raises(ValueError, match=r"w has shape \(10,\), the model's is \(5,\)"):
        read_fragments(cut("w", 5, []), pieces, tmp_path)
    with pytest.raises(ValueError, match="v is not there"):
        read_fragments(cut("v", 5, []), pieces, tmp_path)


def test_whole_weights_can_be_read_without_an_engine(tmp_path: Path) -> None:
    pieces = written([[fragment] for fragment in cut("w", 10, [3])], tmp_path, 1_000)
    assert torch.equal(read_weights(pieces, tmp_path)["w"], torch.arange(10.0))


def test_a_file_is_one_that_safetensors_reads_and_its_checksum_that_of_its_bytes(tmp_path: Path) -> None:
    (fragment,) = cut("block.weight", 5, [])
    (shard,) = write_shards([fragment], tmp_path, rank=0)
    content = (tmp_path / shard.name).read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (shard.size_bytes, shard.sha256)
    loaded = load(content)
    assert set(loaded) == {f"block.weight/{kind}" for kind in KINDS}
    for kind in KINDS:
        assert torch.equal(loaded[f"block.weight/{kind}"], fragment.values[kind])


def test_a_copy_stays_as_it_was_until_it_is_renewed() -> None:
    (fragment,) = cut("w", 5, [])
    copy = host_copy([fragment])
    copy_values([fragment], copy)
    fragment.values["weight"] += 1
    assert copy[0].values["weight"].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    copy_values([fragment], copy)
    assert copy[0].values["weight"].tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
