"""The data stages on a Dask cluster of two workers: the bytes are those of this machine alone."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

from forge.data import batches, encoded, tasks
from forge.data.corpus import build_corpus
from forge.data.engine import Engine
from forge.data.lake import build_lake
from forge.data.tokenizer import train_tokenizer
from forge.data.tokens import build_tokens
from forge.errors import StageError
from forge.progress import SilentProgress
from tests.data.builders import CORPUS, LAKE, prose_files, write_folder
from tests.data.formats.files import pdf_of, zip_of
from tests.factories import TOKENS, tokenizer_defaults


def make(source: Path, place: Path, engine: Engine, tokenizer: Path | None) -> None:
    for name in ("lake", "corpus", "tokens"):
        (place / name).mkdir(parents=True)
    silent = SilentProgress()
    build_lake([str(source)], LAKE, place / "lake", silent, 2, engine=engine)
    build_corpus(place / "lake", CORPUS, place / "corpus", silent, 2, engine=engine)
    if tokenizer is None:
        (place / "tokenizer").mkdir()
        vocabulary = tokenizer_defaults() | {"vocab_size": 300}
        train_tokenizer(place / "corpus", vocabulary, place / "tokenizer", silent)
    build_tokens(
        place / "corpus", tokenizer or place / "tokenizer", TOKENS, place / "tokens", silent, 2, engine=engine
    )


@pytest.mark.slow
def test_two_dask_workers_make_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(batches, "BATCH_FILES", 9)
    monkeypatch.setattr(tasks, "BUCKET_BYTES", 5_000)
    monkeypatch.setattr(encoded, "BLOCK_BYTES", 2_000)
    files = prose_files(range(40)) | {
        "copy.txt": prose_files([3])["003.txt"],
        "page.pdf": pdf_of([["a page of a few words"]]),
        "broken.pdf": pdf_of([["cut"]])[:99],
        "pack.zip": zip_of({"a.txt": "inside the archive", "b.bin": b"\0"}),
        "zeros.txt": b"a\0b",
    }
    source = write_folder(tmp_path / "in", files)
    make(source, tmp_path / "local", Engine(), None)
    make(source, tmp_path / "dask", Engine("dask"), tmp_path / "local" / "tokenizer")
    for name in ("lake", "corpus", "tokens"):
        made = {path.name: path.read_bytes() for path in (tmp_path / "dask" / name).iterdir()}
        assert made == {path.name: path.read_bytes() for path in (tmp_path / "local" / name).iterdir()}
        assert made


def test_without_dask_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name == "distributed":
            raise ImportError(name)
        return true(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    source = write_folder(tmp_path / "in", prose_files(range(3)))
    (tmp_path / "out").mkdir()
    with pytest.raises(StageError, match=r"data\.engine: dask is not installed: `pip install") as error:
        build_lake([str(source)], LAKE, tmp_path / "out", SilentProgress(), 2, engine=Engine("dask"))
    assert len(error.value.lines) == 1
