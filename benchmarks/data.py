"""Forge's data stages beside datatrove: the same 74 MB of documentation, the same limits, the same cores.

    python -m benchmarks.data FOLDER [--datatrove PYTHON] [--words regex|spacy] [--filters web|none] [--copies N]
                              [--every N]

Prints a table: wall and CPU seconds, peak resident memory of all processes, and how well near copies were found against
all pairs with a Jaccard of at least 0.8 over runs of five words. PYTHON is the interpreter of a throwaway venv with
`datatrove[io,processing]==0.10.1 spacy`. With --every N both read every N-th document alone. With --copies N forge
alone reads the corpus N times over, each copy with words of its own, to show that memory stays flat and time grows no
faster than the data; its peak with pages that processes share counted once is printed as well.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.documentation import fetch
from forge.progress import Progress, SilentProgress

SAMPLE_EVERY_S = 0.1
SHARED_EVERY_S = 1.0
"""Counting shared pages once goes through all pages of a process, which takes the kernel milliseconds."""
SHINGLE_WORDS = 5
WORD = re.compile(r"\w+")
JACCARD = 0.8


@dataclass(frozen=True, slots=True)
class Measured:
    """What a command took."""

    wall_clock_s: float
    cpu_s: float
    peak_rss_bytes: int
    """Of all its processes together; memory they share counts more than once."""
    peak_process_rss_bytes: int
    peak_pss_bytes: int | None
    """Of all its processes together, memory they share counted once; None where it was not sampled."""
    output: str


def measure(command: list[str], shared: bool = False) -> Measured:
    """Run `command` and watch it and its children; with `shared` also for memory that they share."""
    began_s = time.monotonic()
    process = psutil.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    cpu_s: dict[int, float] = {}
    peak = peak_process = peak_pss = 0
    sampled_s = began_s if shared else math.inf
    while process.poll() is None:
        resident = []
        all_now = [process, *_children(process)]
        for one in all_now:
            try:
                times = one.cpu_times()
                cpu_s[one.pid] = times.user + times.system
                resident.append(one.memory_info().rss)
            except psutil.Error:
                continue
        peak = max(peak, sum(resident))
        peak_process = max([peak_process, *resident])
        if time.monotonic() - sampled_s > SHARED_EVERY_S:
            peak_pss = max(peak_pss, sum(_pss_bytes(one.pid) for one in all_now))
            sampled_s = time.monotonic()
        time.sleep(SAMPLE_EVERY_S)
    output = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: ended with {process.returncode}")
    wall_clock_s = time.monotonic() - began_s
    pss = peak_pss if shared else None
    return Measured(wall_clock_s, sum(cpu_s.values()), peak, peak_process, pss, output)


def _pss_bytes(pid: int) -> int:
    """Return the memory of a process, pages it shares divided by how many share them; 0 where it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []


def run_forge(source: Path, work: Path, tokenizer: Path, filters: str) -> dict[str, Any]:
    """Lake, corpus and tokens, in this process; return the seconds of each and what was kept.

    As in a run of forge all is remembered that the next run can use, and workers are made ready while files are read.
    """
    from forge.data.fork_server import load_ahead, start_ahead

    total_bytes = sum(path.stat().st_size for path in source.iterdir())
    start_ahead(total_bytes)
    from forge.data.lake import build_lake
    from forge.plan.stages import NOT_OF_CORPUS
    from forge.spec.compose import compose_spec

    limits = ["data=web"] if filters == "web" else ["data.min_words=0", "data.min_alphabetic_fraction=0"]
    if filters == "none":
        limits += ["data.max_repeated_line_fraction=1", "data.max_mean_word_characters=null"]
    steps = (
        "quality,exact_duplicates,near_duplicates" if filters == "web" else "exact_duplicates,near_duplicates"
    )
    values = compose_spec([*limits, f"data.curate=[{steps}]", "+recipe=legal_tiny"]).values["data"]
    corpus = {key: value for key, value in values.items() if key not in NOT_OF_CORPUS} | {"seed": 1}
    lake = {"metadata_allow": {}, "max_file_bytes": 1 << 40}
    tokens = {
        "task": "pretrain",
        "packing": "concatenate",
        "sequence_length": None,
        "source_weights": None,
        "phases": None,
    }
    seconds: dict[str, float] = {}
    summaries: dict[str, Any] = {}
    progress = SilentProgress()
    stages: dict[str, Callable[[Path], dict[str, Any]]] = {
        "lake": lambda out: build_lake([str(source)], lake, out, progress),
        "corpus": lambda out: _corpus(work / "lake", corpus, out, progress),
        "tokens": lambda out: _tokens(work / "corpus", tokenizer, tokens, out, progress),
    }
    load_ahead(total_bytes)
    for name, make in stages.items():
        (work / name).mkdir(parents=True)
        began_s = time.monotonic()
        summaries[name] = make(work / name)
        seconds[name] = time.monotonic() - began_s
    kept = {key: summaries["corpus"][key] for key in ("documents", "bytes")}
    return {"seconds": seconds, **kept, "set_aside": summaries["corpus"]["set_aside"]}


# What a stage needs is loaded when it begins, as in a run of forge.


def _corpus(lake: Path, parameters: dict[str, Any], out: Path, progress: Progress) -> dict[str, Any]:
    from forge.data.corpus import build_corpus
    from forge.data.signatures import Known

    return build_corpus(lake, parameters, out, progress, known=Known("benchmark", None))


def _tokens(
    corpus: Path, tokenizer: Path, parameters: dict[str, Any], out: Path, progress: Progress
) -> dict[str, Any]:
    from forge.data.known_tokens import Earlier
    from forge.data.tokens import build_tokens

    return build_tokens(corpus, tokenizer, parameters, out, progress, earlier=Earlier("benchmark", None))


def every(source: Path, folder: Path, step: int) -> Path:
    """Write every `step`-th document of the corpus."""
    folder.mkdir(parents=True)
    for path in sorted(source.glob("*.jsonl")):
        with path.open(encoding="utf-8") as lines, (folder / path.name).open("w", encoding="utf-8") as file:
            file.writelines(itertools.islice(lines, 0, None, step))
    return folder


def copies(source: Path, folder: Path, count: int) -> Path:
    """Write `count` copies of the corpus, each with other words: nothing in one is a copy of another's.

    A word becomes another one of its length that is about as frequent, so a copy has the bytes, the near copies and
    about the tokens of the corpus.
    """
    folder.mkdir(parents=True)
    paths = sorted(source.glob("*.jsonl"))
    frequencies = Counter(word for text in _texts(paths) for word in WORD.findall(text))
    ranked: dict[int, list[str]] = {}
    for word, _ in frequencies.most_common():
        ranked.setdefault(len(word), []).append(word)
    for path in paths:
        # Taken apart once; equal pieces are one object.
        records = [json.loads(line) for line in path.open(encoding="utf-8")]
        pieces = [list(map(sys.intern, re.split(r"(\w+)", record["text"]))) for record in records]
        for number in range(count):
            others = {
                word: words[(rank + number) % len(words)]
                for words in ranked.values()
                for rank, word in enumerate(words)
            }
            with (folder / f"{path.stem}-{number}.jsonl").open("w", encoding="utf-8") as file:
                for record, own in zip(records, pieces, strict=True):
                    text = "".join(others.get(piece, piece) for piece in own)
                    file.write(json.dumps({"id": record["id"], "text": text}, ensure_ascii=False) + "\n")
    return folder


def score(source: list[str], kept: list[str]) -> dict[str, float]:
    """Hold what a tool kept of the documents it was to deduplicate against all pairs of near copies.

    Returns:
        pair_recall: share of near-copy pairs of which at least one is gone.
        removed_with_partner: share of the removed that are a near (or exact) copy of another document.
    """
    from forge.data.shingles import shingles
    from forge.data.similarity import similar_pairs
    from forge.data.word_codes import word_codes

    sets = [shingles(one.codes, SHINGLE_WORDS) for one in word_codes(source)]
    left: dict[str, int] = {}
    for text in kept:
        left[text] = left.get(text, 0) + 1
    stays = np.zeros(len(source), bool)
    for place, text in enumerate(source):
        if left.get(text, 0):
            left[text] -= 1
            stays[place] = True
    partner = np.zeros(len(source), bool)
    pairs = both = 0
    for block in similar_pairs(sets, JACCARD):
        pairs += len(block.first)
        both += int((stays[block.first] & stays[block.second]).sum())
        partner[block.first] = partner[block.second] = True
    removed = ~stays
    return {
        "pairs": pairs,
        "pair_recall": 1 - both / max(1, pairs),
        "removed": int(removed.sum()),
        "removed_with_partner": float(partner[removed].mean()) if removed.any() else 1.0,
    }


def _texts(paths: list[Path]) -> Iterator[str]:
    for path in paths:
        for line in path.open(encoding="utf-8"):
            yield json.loads(line)["text"]


def _parquet_texts(path: Path) -> list[str]:
    import pyarrow.parquet as parquet

    texts: list[str] = parquet.read_table(path, columns=["text"])["text"].to_pylist()
    return texts


def _row(name: str, found: Measured, seconds: dict[str, float], rest: str) -> str:
    stages = ", ".join(f"{stage} {value:.1f}" for stage, value in seconds.items())
    return (
        f"| {name} | {found.wall_clock_s:.1f} | {found.cpu_s:.1f} | {found.peak_rss_bytes / 1e6:.0f} "
        f"({found.peak_process_rss_bytes / 1e6:.0f}) | {stages} | {rest} |"
    )


def _tokenizer(source: Path, folder: Path) -> Path:
    """Train the tokenizer that both sides encode with; not timed."""
    if not (folder / "tokenizer.json").exists():
        from tokenizers import pre_tokenizers, trainers

        from forge.data.tokenizer import QWEN2_PATTERN, SPECIAL_TOKENS, _untrained

        folder.mkdir(exist_ok=True)
        tokenizer = _untrained(QWEN2_PATTERN)
        trainer = trainers.BpeTrainer(
            vocab_size=32_768,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(_texts(sorted(source.glob("*.jsonl"))), trainer)
        tokenizer.save(str(folder / "tokenizer.json"))
        names = {
            f"{role}_token": token for role, token in zip(("bos", "eos", "pad"), SPECIAL_TOKENS, strict=True)
        }
        (folder / "tokenizer_config.json").write_text(json.dumps(names))
    return folder


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--datatrove", type=Path)
    parser.add_argument("--words", choices=("regex", "spacy"), default="regex")
    parser.add_argument("--filters", choices=("web", "none"), default="web")
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    source = given.folder / "documents"
    work = given.folder / "forge"
    if given.inside:
        print(json.dumps(run_forge(given.folder / "input", work, given.folder / "tokenizer", given.filters)))
        return
    fetch(source)
    tokenizer = _tokenizer(source, given.folder / "tokenizer")
    for old in (work, given.folder / "datatrove", given.folder / "input", given.folder / "some"):
        shutil.rmtree(old, ignore_errors=True)
    some = every(source, given.folder / "some", given.every)
    some.rename(given.folder / "input") if given.copies == 1 else copies(
        some, given.folder / "input", given.copies
    )
    print("| tool | wall s | CPU s | peak RSS MB (largest process) | stages, wall s | near copies |")
    print("|---|---|---|---|---|---|")
    options = ["--filters", given.filters]
    inside = [sys.executable, "-m", "benchmarks.data", str(given.folder), "--inside", *options]
    found = measure(inside, shared=given.copies > 1)
    report = json.loads(found.output.splitlines()[-1])
    rest = f"{report['documents']} documents kept"
    if found.peak_pss_bytes is not None:
        rest += f", {found.peak_pss_bytes / 1e6:.0f} MB with shared pages counted once"
    compare = given.copies == 1 and given.filters == "none"
    texts = list(_texts(sorted((given.folder / "input").glob("*.jsonl")))) if compare else []
    if compare:
        rest += f", {score(texts, _parquet_texts(work / 'corpus' / 'corpus.parquet'))}"
    print(_row("forge", found, report["seconds"], rest), flush=True)
    if given.datatrove:
        rival = given.folder / "datatrove"
        script = str(Path(__file__).with_name("data_datatrove.py"))
        arguments = [str(given.folder / "input"), str(rival), str(tokenizer / "tokenizer.json")]
        found = measure([str(given.datatrove), script, *arguments, given.words, given.filters, "2"])
        kept = list(_texts(sorted((rival / "kept").glob("*.jsonl"))))
        rest = f"{len(kept)} documents kept" + (f", {score(texts, kept)}" if compare else "")
        print(
            _row(
                f"datatrove 0.10.1, {given.words} words",
                found,
                json.loads(found.output.splitlines()[-1]),
                rest,
            )
        )


if __name__ == "__main__":
    main()
