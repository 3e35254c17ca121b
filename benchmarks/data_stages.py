"""Each stage of forge's data path beside the fastest library for it, in CPU time on one core.

    python -m benchmarks.data_stages FOLDER [--every N] [--rivals PYTHON]

FOLDER is the one of `benchmarks.data`: its documents are fetched, its tokenizer is trained, where they are not there
yet. Of the documents every N-th is taken. Reading is held against a bare loop over the parser that forge's reader uses
too, so the ratio is what finding encoding, title, dates and structure costs; near copies against two MinHash libraries
in PYTHON, the interpreter of a venv with `rensa==0.5.0 datasketch==2.0.0`; tokens against the bare calls of tiktoken
and tokenizers, with one thread. Ratios move with the machine's load far less than times: only they are printed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import JACCARD, SHINGLE_WORDS, _texts, _tokenizer, score
from benchmarks.documentation import fetch
from benchmarks.messy.formats import WRITERS, Page

PAGES = 1_500
ROUNDS = 3
"""Of each side in turn; the quickest of each counts, which other work on the machine disturbs least."""


def cpu_s(sides: Sequence[Callable[[], Any]]) -> list[float]:
    """Return the CPU seconds of each of several ways to do one thing."""
    best = [float("inf")] * len(sides)
    for _ in range(ROUNDS):
        for place, side in enumerate(sides):
            began_s = time.process_time()
            side()
            best[place] = min(best[place], time.process_time() - began_s)
    return best


def reading(texts: list[str]) -> Iterator[tuple[str, str, float]]:
    """Yield (stage, beside, forge's CPU time over the other's) of the readers."""
    import pypdfium2
    from selectolax.lexbor import LexborHTMLParser

    from forge.data.formats.items import Budget, Content
    from forge.data.formats.page import read_html
    from forge.data.formats.pdf import read_pdf
    from forge.data.formats.text import read_text

    def bare_text(content: bytes) -> str:
        return content.decode()

    def bare_html(content: bytes) -> str:
        root = LexborHTMLParser(content.decode()).root
        return "" if root is None else root.text(separator="\n")

    def bare_pdf(content: bytes) -> str:
        file = pypdfium2.PdfDocument(content)
        text = "\n".join(page.get_textpage().get_text_bounded() for page in file)
        file.close()
        return text

    pages = [
        Page(text.strip().split("\n", 1)[0][:80], tuple(filter(None, text.split("\n\n"))))
        for text in texts[:: max(1, len(texts) // PAGES)]
    ]
    for suffix, read, bare, beside in (
        (".txt", read_text, bare_text, "bytes.decode"),
        (".html", read_html, bare_html, "selectolax, all text of a page"),
        (".pdf", read_pdf, bare_pdf, "pypdfium2, all text of a page"),
    ):
        contents = [WRITERS[suffix](page) for page in pages]

        def by_forge(contents: list[bytes] = contents, read: Any = read, suffix: str = suffix) -> None:
            for content in contents:
                whole = Budget(len(content), 1 << 30)
                list(read(Content(f"page{suffix}", content, len(content), whole)))

        def by_library(contents: list[bytes] = contents, bare: Any = bare) -> None:
            for content in contents:
                bare(content)

        ours, theirs = cpu_s([by_forge, by_library])
        yield f"reading {suffix}", beside, ours / theirs


def near_copies(texts: list[str], rivals: Path) -> Iterator[tuple[str, str, float, str]]:
    """Yield (stage, beside, ratio, what either found) of the search for near copies, from texts to what goes."""
    from forge.data.duplicates import near_duplicates
    from forge.data.joins import Joins
    from forge.data.sets import Sets
    from forge.data.shingles import shingle_sets
    from forge.data.word_codes import word_codes
    from forge.progress import SilentProgress

    removed: list[int] = []

    def by_forge() -> None:
        sets = Sets.of(list(shingle_sets(list(word_codes(texts)), SHINGLE_WORDS)))
        preference = np.arange(len(texts))
        found = near_duplicates(sets, preference, JACCARD, SilentProgress(), Joins(None, None))
        removed[:] = found.removed.tolist()

    (ours,) = cpu_s([by_forge])

    def quality(gone: Sequence[int]) -> str:
        out = set(gone)
        found = score(texts, [text for place, text in enumerate(texts) if place not in out])
        return (
            f"{found['pair_recall']:.3f} of the pairs, {found['removed_with_partner']:.3f} of the removed "
            "have a partner"
        )

    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in texts)
        file.flush()
        script = Path(__file__).with_name("data_stages_rival.py")
        environment = os.environ | {"RAYON_NUM_THREADS": "1"}
        found = subprocess.run(
            [rivals, script, file.name], capture_output=True, text=True, check=True, env=environment
        )
    mine = quality(removed)
    for name, theirs in json.loads(found.stdout).items():
        yield "near copies", name, ours / theirs["cpu_s"], f"{mine}; {name} {quality(theirs['removed'])}"


def tokens(texts: list[str], folder: Path) -> Iterator[tuple[str, str, float]]:
    """Yield (stage, beside, ratio) of encoding."""
    from tokenizers import Tokenizer

    from forge.data.encoding import Encoder

    encoder = Encoder(folder)
    bare = encoder._quick
    assert bare is not None
    plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
    encoder.encode(texts[:10])
    ours, by_tiktoken, by_tokenizers = cpu_s(
        [
            lambda: encoder.encode(texts),
            lambda: bare.encode_ordinary_batch(texts, num_threads=1),
            lambda: plain.encode_batch_fast(texts, add_special_tokens=False),
        ]
    )
    yield "tokens", "tiktoken, encode_ordinary_batch", ours / by_tiktoken
    yield "tokens", "tokenizers, encode_batch_fast", ours / by_tokenizers


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=8)
    parser.add_argument("--rivals", type=Path)
    given = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = "1"
    source = given.folder / "documents"
    fetch(source)
    folder = _tokenizer(source, given.folder / "tokenizer")
    texts = list(itertools.islice(_texts(sorted(source.glob("*.jsonl"))), 0, None, given.every))
    print(f"{len(texts)} documents, {sum(map(len, texts)) / 1e6:.1f} M characters; one core\n")
    print("| stage | beside | CPU time, forge / beside | found |\n|---|---|---|---|")
    for stage, beside, ratio in reading(texts):
        print(f"| {stage} | {beside} | {ratio:.2f} | |", flush=True)
    if given.rivals:
        for stage, beside, ratio, found in near_copies(texts, given.rivals):
            print(f"| {stage} | {beside} | {ratio:.2f} | {found} |", flush=True)
    for stage, beside, ratio in tokens(texts, folder):
        print(f"| {stage} | {beside} | {ratio:.2f} | |", flush=True)


if __name__ == "__main__":
    main()
