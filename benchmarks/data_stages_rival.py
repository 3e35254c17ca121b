"""The rivals of benchmarks/data_stages.py that forge does not depend on. Run by the Python of a venv that has them.

    python data_stages_rival.py DOCUMENTS_JSONL

Prints one JSON line: of each library the CPU seconds and the numbers of the documents it would remove.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

from datasketch import MinHash, MinHashLSH
from rensa import RMinHash, RMinHashLSH

WORD = re.compile(r"\w+")
BANDS, ROWS, SHINGLE_WORDS = 14, 8, 5


def shingle_sets(texts: list[str]) -> list[list[str]]:
    """Return the distinct runs of five words of each text; of a shorter one all its words."""
    found = []
    for text in texts:
        words = WORD.findall(text.lower())
        runs = range(max(1, len(words) - SHINGLE_WORDS + 1))
        found.append(list({" ".join(words[place : place + SHINGLE_WORDS]) for place in runs}))
    return found


def by_rensa(texts: list[str]) -> list[int]:
    """Return the documents that rensa's quickest way through MinHash and LSH finds another one for."""
    matrix = RMinHash.digest_matrix_from_token_sets(shingle_sets(texts), BANDS * ROWS, 42)
    index = RMinHashLSH(threshold=0.8, num_perm=BANDS * ROWS, num_bands=BANDS)
    flags = index.query_duplicate_flags_matrix_one_shot(matrix)
    return [place for place, flag in enumerate(flags) if flag]


def by_datasketch(texts: list[str]) -> list[int]:
    """Return the documents that datasketch's LSH finds an earlier one for."""
    index = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
    removed = []
    encoded = ([run.encode() for run in one] for one in shingle_sets(texts))
    for place, sketch in enumerate(MinHash.bulk(encoded, num_perm=BANDS * ROWS)):
        if index.query(sketch):
            removed.append(place)
        index.insert(place, sketch)
    return removed


def main() -> None:
    """Run them all."""
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    rivals: dict[str, Callable[[list[str]], list[int]]] = {"rensa": by_rensa, "datasketch": by_datasketch}
    report = {}
    for name, remove in rivals.items():
        began_s = time.process_time()
        removed = remove(texts)
        report[name] = {"cpu_s": time.process_time() - began_s, "removed": removed}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
