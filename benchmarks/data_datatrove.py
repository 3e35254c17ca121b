"""The rival of benchmarks/data.py: the same corpus through datatrove. Run by the Python of a venv that has it.

    python data_datatrove.py INPUT_FOLDER WORK_FOLDER TOKENIZER_JSON {spacy,regex} {web,none} WORKERS

Prints one JSON line: seconds of each stage. The documents left are in WORK_FOLDER/kept.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.filters import C4QualityFilter, GopherQualityFilter, GopherRepetitionFilter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer
from datatrove.pipeline.writers.jsonl import JsonlWriter
from datatrove.utils import word_tokenizers
from datatrove.utils.hashing import HashConfig

WORD = re.compile(r"\w+|[^\w\s]")
SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")


class RegexWords(word_tokenizers.WordTokenizer):  # type: ignore[misc]
    """Words by one regular expression: datatrove's own take a parser of natural language."""

    def word_tokenize(self, text: str) -> list[str]:
        """Return the words and marks of `text`."""
        return WORD.findall(text)

    def sent_tokenize(self, text: str) -> list[str]:
        """Return the sentences of `text`."""
        return SENTENCE.findall(text)

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        """Return where the sentences of `text` are."""
        return [found.span() for found in SENTENCE.finditer(text)]


def main() -> None:
    """Run all stages."""
    source, work, tokenizer, words, filters, workers = sys.argv[1:]
    if words == "regex":
        word_tokenizers.load_tokenizer_assignments = lambda: {
            "en": RegexWords,
            "eng": RegexWords,
            "eng_Latn": RegexWords,
        }
    config = MinhashConfig(hash_config=HashConfig(precision=64), num_buckets=14, hashes_per_bucket=8)
    place = Path(work)
    quality = [GopherRepetitionFilter(), GopherQualityFilter(), C4QualityFilter()] if filters == "web" else []
    filtered, kept = str(place / "filtered"), str(place / "kept")
    stages = {
        "filter": ([JsonlReader(source), *quality, JsonlWriter(filtered, compression=None)], 2),
        "signatures": ([JsonlReader(filtered), MinhashDedupSignature(str(place / "signatures"), config)], 2),
        "buckets": (
            [MinhashDedupBuckets(str(place / "signatures"), str(place / "buckets"), config=config)],
            14,
        ),
        "cluster": ([MinhashDedupCluster(str(place / "buckets"), str(place / "remove"), config=config)], 1),
        "dedup": (
            [
                JsonlReader(filtered),
                MinhashDedupFilter(str(place / "remove")),
                JsonlWriter(kept, compression=None),
            ],
            2,
        ),
        "tokens": (
            [JsonlReader(kept), DocumentTokenizer(str(place / "tokens"), tokenizer_name_or_path=tokenizer)],
            2,
        ),
    }
    seconds = {}
    for name, (pipeline, tasks) in stages.items():
        began_s = time.monotonic()
        LocalPipelineExecutor(
            pipeline,
            tasks=tasks,
            workers=int(workers),
            logging_dir=str(place / "logs" / name),
            start_method="fork",
        ).run()
        seconds[name] = time.monotonic() - began_s
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
