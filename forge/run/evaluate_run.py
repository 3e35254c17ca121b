"""A run's model measured on a file that was not in its plan: runs/NAME/evaluations/, and nothing else is written."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forge.errors import StageError
from forge.files import replace_text
from forge.plan.types import Plan
from forge.progress import Progress
from forge.run.artifacts import find_artifact
from forge.run.evaluations import artifacts_root, plan_of
from forge.run.trained import newest_checkpoint, write_weights

FOLDER = "evaluations"
NAME_HEX_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What was found, and where it is written."""

    folder: Path
    content: dict[str, Any]


def evaluate_run(run_dir: Path, file: Path, progress: Progress) -> Evaluated:
    """Measure the model of a run, or the newest checkpoint of one in training, on a file of questions, facts or text.

    `evaluations`/<name of the file>-<hash of its content>/ gets evaluation.json and, a line each, questions.jsonl or
    documents.jsonl; an earlier one of the same content is replaced.

    Raises:
        SpecError: the folder is no run.
        StageError: the file cannot be used, or the run has nothing to measure yet.
    """
    from forge.evaluate.closed_book import ask_questions
    from forge.evaluate.corpus_overlaps import overlaps_with_training
    from forge.evaluate.evaluate import load_model
    from forge.evaluate.examined import describe, question_texts
    from forge.evaluate.given_file import kind_of, measure_text, read_documents, text_of
    from forge.evaluate.given_questions import read_all
    from forge.evaluate.question_set import choose

    plan, root = plan_of(run_dir), artifacts_root(run_dir)
    kind, is_chat = kind_of(file), plan.schedule.task != "pretrain"
    parameters = _parameters(plan, run_dir) | {"questions": None, "facts": None}
    asked, documents = [], []
    if kind == "text":
        documents = read_documents(file, is_chat)
    else:
        parameters |= {kind: str(file)}
        asked = read_all(parameters)
    tokenizer, corpus = (find_artifact(root, plan.stage(name)) for name in ("tokenizer", "corpus"))
    if tokenizer is None or corpus is None:
        raise StageError(f"evaluate: {run_dir}: has no tokenizer yet: give its forge-run command again")

    content: dict[str, Any] = {"plan_id": plan.id, "file": str(file), "sha256": _sha256(file), "kind": kind}
    target = run_dir / FOLDER / f"{file.stem}-{content['sha256'][:NAME_HEX_DIGITS]}"
    target.parent.mkdir(exist_ok=True)
    with (
        _weights(plan, run_dir, progress) as (train, step),
        tempfile.TemporaryDirectory(prefix=".tmp-", dir=target.parent) as scratch,
    ):
        out = Path(scratch) / "whole"
        out.mkdir()
        network = load_model(train, plan.layout.device)
        content["step"] = step
        if kind == "text":
            sets = {"text": [text_of(one) for one in documents]}
            content["text"], rows = measure_text(network, plan, tokenizer.folder, documents, progress)
            replace_text(out / "documents.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        else:
            chosen = choose(asked, corpus.folder, parameters["unknown_questions"], progress)
            sets = question_texts(chosen)
            content["recall"] = ask_questions(
                plan, parameters, chosen, network, corpus.folder, tokenizer.folder, out, progress
            )
        content["contamination"] = describe(
            overlaps_with_training(sets, corpus.folder, plan.schedule.task, progress)
        )
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        replace_text(out / "evaluation.json", text)
        shutil.rmtree(target, ignore_errors=True)
        out.rename(target)
    return Evaluated(target, content)


def _parameters(plan: Plan, run_dir: Path) -> dict[str, Any]:
    parameters = plan.stage("evaluate").parameters
    if "question_template" not in parameters:
        raise StageError(
            f"evaluate: {run_dir}: its plan is of an older forge and says nothing of questions: run it again"
        )
    return parameters


@contextmanager
def _weights(plan: Plan, run_dir: Path, progress: Progress) -> Iterator[tuple[Path, int]]:
    """Give the folder of the trained weights, and the step they are of; those of a checkpoint are removed again."""
    train = find_artifact(artifacts_root(run_dir), plan.stage("train"))
    if train is not None:
        yield train.folder, plan.schedule.steps
        return
    checkpoint, manifest = newest_checkpoint(plan, run_dir, "evaluate", progress)
    progress.note(
        f"the training is at step {manifest['step']} of {plan.schedule.steps}: measuring {checkpoint}"
    )
    with tempfile.TemporaryDirectory(prefix=".weights-", dir=run_dir) as scratch:
        folder = Path(scratch) / "train"
        write_weights(plan, checkpoint, manifest, "evaluate", folder)
        yield folder, manifest["step"]


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise StageError(f"--on: {path}: cannot be read ({error.strerror}): name another file") from None
