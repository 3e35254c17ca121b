from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forge.data.conversations import Message, to_text
from forge.data.loading import LEARNT, TokenShard
from forge.data.tokens import build_tokens
from forge.errors import StageError
from forge.evaluate.evaluate import evaluate_model
from forge.evaluate.examined import Examined, examine
from forge.plan.types import Task
from forge.progress import SilentProgress
from tests.data.builders import prose
from tests.evaluate.taught import write_corpus
from tests.export.artifacts import CHATML, planned, write_model, write_tokenizer
from tests.factories import TOKENS, evaluate_defaults

TRAIN = [prose(seed, 60) for seed in range(8)]
LEAK = " ".join(TRAIN[5].split()[20:33])
CLEAN = [prose(100, 30), prose(101, 25)]
LEAKED = f"{prose(102, 8)} {LEAK} {prose(103, 8)}"
ASKED = " ".join(TRAIN[2].split()[:7]) + "?"
QUESTIONS = [
    {"question": ASKED, "answer": "yes", "kind": "document"},
    {"question": ASKED.title() + "?", "answer": "yes"},
    {"question": prose(200, 7), "answer": "no"},
    {"question": "Who?", "answer": "no"},
]


def write_artifacts(folder: Path, held_out: list[str]) -> Path:
    write_corpus(folder / "corpus", TRAIN, held_out)
    write_tokenizer(folder / "tokenizer")
    (folder / "tokens").mkdir()
    build_tokens(folder / "corpus", folder / "tokenizer", TOKENS, folder / "tokens", SilentProgress())
    return folder


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("artifacts")
    return write_artifacts(folder, [CLEAN[0], LEAKED, CLEAN[1]])


def write_questions(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def look(artifacts: Path, task: Task = "pretrain", **parameters: Any) -> Examined:
    given = {**evaluate_defaults(), "held_out_max_tokens": 10_000, **parameters}
    return examine(given, artifacts / "corpus", artifacts / "tokens", task, SilentProgress())


def test_what_is_contaminated_is_reported_and_stays(artifacts: Path, tmp_path: Path) -> None:
    rows = [QUESTIONS[0], *QUESTIONS[2:]]
    found = look(artifacts, questions=write_questions(tmp_path / "asked.jsonl", *rows))
    assert found.texts == [CLEAN[0], LEAKED, CLEAN[1]]
    assert len(found.questions) == 3
    held_out = found.contamination["sets"]["held_out"]
    assert (held_out["texts"], held_out["texts_contaminated"]) == (3, 1)
    assert held_out["runs"] == 18 + 17 + 13
    assert held_out["runs_found_fraction"] == pytest.approx(1 / 48)
    counts = {
        kind: (some["texts"], some["texts_too_short"], some["texts_contaminated"])
        for kind, some in found.contamination["sets"].items()
        if kind != "held_out"
    }
    assert counts == {"document": (1, 0, 1), "other": (2, 1, 0)}


def test_what_is_contaminated_is_dropped(artifacts: Path, tmp_path: Path) -> None:
    asked = write_questions(tmp_path / "asked.jsonl", QUESTIONS[0], *QUESTIONS[2:])
    found = look(artifacts, contamination="drop", questions=asked)
    assert found.texts == CLEAN
    assert [question.text for question in found.questions] == [row["question"] for row in QUESTIONS[2:]]
    assert found.contamination["sets"]["held_out"]["texts_contaminated"] == 1
    with pytest.raises(StageError, match="all 1 held-out documents share a run of 13 words"):
        look(write_artifacts(tmp_path, [LEAKED]), contamination="drop")


def test_dropped_is_as_if_it_had_never_been_held_out(artifacts: Path, tmp_path: Path) -> None:
    clean = write_artifacts(tmp_path, CLEAN)
    write_model(tmp_path / "train", planned().model)
    results = []
    for folder, action in ((artifacts, "drop"), (clean, "refuse")):
        plan = planned(evaluate={"prompts": [], "contamination": action, "held_out_max_tokens": 10_000})
        corpus, tokenizer, tokens = (folder / name for name in ("corpus", "tokenizer", "tokens"))
        result = evaluate_model(
            plan, tmp_path / "train", corpus, tokenizer, tokens, tmp_path, SilentProgress()
        )
        # Another place in the corpus is another source there.
        del result["held_out_by_source"]
        results.append({key: value for key, value in result.items() if key.startswith(("held_out", "base"))})
    dropped, never = results
    assert dropped.pop("held_out_tokens_available") > never.pop("held_out_tokens_available")
    assert dropped == never


def test_what_is_contaminated_is_refused(artifacts: Path, tmp_path: Path) -> None:
    asked = write_questions(tmp_path / "asked.jsonl", QUESTIONS[0], *QUESTIONS[2:])
    with pytest.raises(StageError) as caught:
        look(artifacts, contamination="refuse", questions=asked)
    (line,) = caught.value.lines
    assert "refuse: 1 of 3 held-out documents and 1 of 3 questions share a run of 13 words" in line
    with pytest.raises(StageError, match="refuse: 1 of 3 held-out documents share"):
        look(artifacts, contamination="refuse")


def test_a_question_that_is_seen_by_intent_stays(tmp_path: Path) -> None:
    clean = write_artifacts(tmp_path, CLEAN)
    seen = {"question": ASKED, "answer": "yes", "kind": "seen"}
    asked = write_questions(tmp_path / "asked.jsonl", QUESTIONS[2], seen)
    for action in ("drop", "refuse"):
        found = look(clean, contamination=action, questions=asked)
        assert [question.kind for question in found.questions] == ["other", "seen"]
        assert found.contamination["sets"]["seen"]["texts_contaminated"] == 1


def test_of_conversations_answers_are_looked_for_in_every_message(tmp_path: Path) -> None:
    def talk(question: str, answer: str) -> str:
        return to_text([Message("user", question), Message("assistant", answer)])

    train = [talk(prose(seed, 15), prose(50 + seed, 20)) for seed in range(4)]
    answer = prose(52, 20)
    # The second repeats an answer, the third has as its answer what a user said; questions are not examined.
    held_out = [talk(prose(70, 15), prose(71, 20)), talk(prose(2, 15), answer), talk("Why?", prose(1, 15))]
    held_out.append(talk(prose(3, 15), prose(73, 20)))
    write_corpus(tmp_path / "corpus", train, held_out)
    write_tokenizer(tmp_path / "tokenizer", CHATML)
    (tmp_path / "tokens").mkdir()
    parameters = TOKENS | {"task": "sft", "packing": "best_fit", "sequence_length": 512}
    build_tokens(
        tmp_path / "corpus", tmp_path / "tokenizer", parameters, tmp_path / "tokens", SilentProgress()
    )
    whole = TokenShard.open(tmp_path / "tokens", "held_out")
    found = look(tmp_path, "sft", contamination="drop")
    assert sorted(found.texts) == sorted([prose(71, 20), prose(73, 20)])
    assert np.array_equal(found.stream.tokens, whole.tokens[: found.held_out.tokens])
    assert found.stream.labels is not None
    assert whole.labels is not None
    learnt, before = (
        int(np.count_nonzero(labels & LEARNT)) for labels in (found.stream.labels, whole.labels)
    )
    assert 0 < learnt == found.held_out.predicted_tokens < before
    assert found.held_out.bytes == sum(len(text.encode()) for text in found.texts)
