"""The proof: a model that knows a fictional company, from its documents to answers of llama.cpp.

    python -m benchmarks.proof

makes the company's folder, carries out `forge-run +recipe=company_tiny` on it (which trains, asks the questions,
exports and proves the export), then serves the file with llama.cpp and asks it ten of the questions.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.company_folder import make_company
from forge.cli.compiling import compile_overrides
from forge.errors import UserError
from forge.evaluate.recall import MODEL, QUESTIONS
from forge.export.llama_server import LlamaServer
from forge.plan.machine import probe_machine
from forge.plan.types import Plan
from forge.run.artifacts import artifact_folder

SERVED = "model-q8_0.gguf"
ASKED = {"seen": 4, "document": 2, "untaught": 1, "unknown_near": 1, "unknown_far": 2}
"""Questions put to llama.cpp, by kind."""


def prove(folder: Path, scale: float, more: Sequence[str]) -> int:
    """Make, train, export, serve and ask below `folder`; return an exit status.

    Args:
        folder: made where it is not there; the company's documents in it are made anew.
        scale: of the company.
        more: overrides of the recipe.
    """
    company = folder / "company"
    shutil.rmtree(company, ignore_errors=True)
    knowledge = make_company(company, scale=scale)
    print(f"{company}: {len(knowledge.facts)} facts, {len(knowledge.questions)} questions", flush=True)
    overrides = [
        "+recipe=company_tiny",
        f"data.path={company / 'documents'}",
        f"evaluate.questions={company / 'questions.jsonl'}",
        "export=gguf",
        f"output_dir={folder}",
        *more,
    ]
    try:
        plan = compile_overrides(overrides, probe_machine(), needs_data=True).plan
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"$ forge-run {' '.join(overrides)}", flush=True)
    status = subprocess.run([sys.executable, "-m", "forge.cli.main", "run", *overrides]).returncode
    if status == 0:
        ask_served(plan, folder)
    return status


def ask_served(plan: Plan, folder: Path) -> None:
    """Serve the exported file with llama.cpp, ask it, and print its replies beside what is true."""
    evaluation, export = (
        artifact_folder(folder / "artifacts", plan.stage(name)) for name in ("evaluate", "export")
    )
    rows = [json.loads(line) for line in (evaluation / QUESTIONS).read_text(encoding="utf-8").splitlines()]
    chosen = [row for kind, count in ASKED.items() for row in _spread(rows, kind, count)]
    server = LlamaServer(export / "gguf" / SERVED, plan.model.max_sequence_length)
    parameters = plan.stage("evaluate").parameters
    print(f"\nasked of llama.cpp, which serves {export / 'gguf' / SERVED}")
    same = 0
    for row in chosen:
        prompt = parameters["question_template"].replace("{question}", row["question"])
        reply = _reply(server, prompt, parameters["answer_tokens"])
        evaluated = row["replies"][MODEL]
        same += reply == evaluated["reply"]
        verdict = evaluated["mark"] if reply == evaluated["reply"] else "other than the trained model's"
        truth = row["answers"][0] if row["answers"] else "nobody knows"
        print(f"  {row['question']}\n    {reply}  ({verdict}; true: {truth})")
    print(f"{same} of {len(chosen)} replies are those of the trained model")


def _spread(rows: Sequence[dict[str, Any]], kind: str, count: int) -> list[dict[str, Any]]:
    """Return up to `count` questions of a kind, from its first to its last."""
    own = [row for row in rows if row["kind"] == kind]
    return own[:: max(1, len(own) // count)][:count]


def _reply(server: LlamaServer, prompt: str, most_tokens: int) -> str:
    """Return the line that the served model goes on with, greedily."""
    answer: dict[str, Any] = server.post(
        "/completion", {"prompt": prompt, "n_predict": most_tokens, "temperature": 0.0, "stop": ["\n"]}
    )
    return str(answer["content"]).strip()


def main() -> int:
    """Prove it, from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path("proof"))
    parser.add_argument("--scale", type=float, default=1.0, help="of the company; 1 is 48 products")
    parser.add_argument("overrides", nargs="*", help="of the recipe")
    options = parser.parse_args()
    return prove(options.folder, options.scale, options.overrides)


if __name__ == "__main__":
    sys.exit(main())
