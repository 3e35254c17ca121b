"""Small sources and artifacts for the tests of the data room."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet

from forge.data.corpus import build_corpus
from forge.data.lake import build_lake
from forge.progress import SilentProgress
from tests.factories import corpus_defaults

LAKE: dict[str, Any] = {"metadata_allow": {}, "max_file_bytes": 1_000_000}
CORPUS: dict[str, Any] = {
    **corpus_defaults(),
    "min_words": 5,
    "shingle_words": 3,
    "held_out_fraction": 0.2,
    "seed": 7,
}
SYLLABLES = "ba ce di fo gu ha ke li mo nu pa re si to vu".split()


def prose(seed: int, words: int = 60) -> str:
    """Return seeded words that no other seed shares much of."""
    source = random.Random(seed)
    return " ".join("".join(source.choices(SYLLABLES, k=source.randint(1, 4))) for _ in range(words))


def write_folder(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Write `files` by relative path into `folder` and return it."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def make_lake(folder: Path, out: Path, **parameters: Any) -> dict[str, Any]:
    """Run the lake stage on one folder."""
    out.mkdir(parents=True)
    return build_lake([str(folder)], LAKE | parameters, out, SilentProgress())


def make_corpus(files: dict[str, str | bytes], place: Path, **parameters: Any) -> tuple[Path, dict[str, Any]]:
    """Run lake and corpus below `place`; return the corpus folder and its summary."""
    write_folder(place / "source", files)
    make_lake(place / "source", place / "lake")
    out = place / "corpus"
    out.mkdir()
    return out, build_corpus(place / "lake", CORPUS | parameters, out, SilentProgress())


def prose_files(seeds: Iterable[int], words: int = 60) -> dict[str, str | bytes]:
    """Return unlike documents as files."""
    return {f"{seed:03}.txt": prose(seed, words) for seed in seeds}


def rows(table: Path) -> list[dict[str, Any]]:
    """Return the rows of a Parquet file."""
    result: list[dict[str, Any]] = parquet.read_table(table).to_pylist()
    return result
