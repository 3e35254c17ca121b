"""A fictional company's documents, made from a seed, and questions whose answers are known.

    python -m benchmarks.company_folder /tmp/company --seed 1

writes documents/, what a model may be trained on; later/, documents it is not to see; facts.jsonl, every fact and how
documents/ knows it; and questions.jsonl, in the form that `evaluate.questions` takes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.company.documents import Files, documents, later_documents
from benchmarks.company.facts import ABSTENTION, Knowledge, know

ASKED_OF_EACH = 60


def make_company(
    root: Path, seed: int = 1, scale: float = 1.0, asked_of_each: int = ASKED_OF_EACH
) -> Knowledge:
    """Write the folder below `root`; return what is true of it. `scale` 1 is 48 products and about 1,000 files."""
    knowledge = know(seed, scale, asked_of_each)
    _write(root / "documents", documents(knowledge, seed))
    _write(root / "later", later_documents(knowledge, seed))
    facts = [
        {
            "subject": fact.subject,
            "attribute": fact.topic.attribute.noun,
            "value": fact.value,
            "kind": fact.known.value,
        }
        for fact in knowledge.facts
    ]
    questions = [
        {"question": one.text, "kind": one.known.value}
        | ({} if one.answer == ABSTENTION else {"answer": one.answer})
        for one in knowledge.questions
    ]
    _write_lines(root / "facts.jsonl", facts)
    _write_lines(root / "questions.jsonl", questions)
    return knowledge


def _write(root: Path, files: Files) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _write_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records), encoding="utf-8")


def main() -> None:
    """Make a company from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0)
    options = parser.parse_args()
    knowledge = make_company(options.folder, options.seed, options.scale)
    files = sum(path.is_file() for path in (options.folder / "documents").rglob("*"))
    print(f"{files} documents, {len(knowledge.facts)} facts, {len(knowledge.questions)} questions")


if __name__ == "__main__":
    main()
