from __future__ import annotations

import io
import json
import lzma
import math
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
import torch
from rich.console import Console

from forge.cli.evaluation_view import show_evaluation
from forge.data.loading import TokenShard
from forge.data.tokens import build_tokens
from forge.errors import StageError
from forge.evaluate import baselines
from forge.evaluate.evaluate import evaluate_model
from forge.evaluate.metrics import metrics_of
from forge.plan.types import Plan
from forge.progress import SilentProgress
from tests.evaluate.taught import write_corpus
from tests.export.artifacts import VOCAB_SIZE, documents, planned, write_model, write_tokenizer
from tests.factories import TOKENS

TRAIN, HELD_OUT = documents(60, seed=1), documents(9, seed=2)
PARAMETERS = {"prompts": ["the licence", "§ 7"], "sample_tokens": 6, "held_out_max_tokens": 100_000}


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("artifacts")
    write_corpus(folder / "corpus", TRAIN, HELD_OUT)
    write_tokenizer(folder / "tokenizer")
    (folder / "tokens").mkdir()
    build_tokens(folder / "corpus", folder / "tokenizer", TOKENS, folder / "tokens", SilentProgress())
    write_model(folder / "train", planned().model)
    return folder


def evaluate(
    artifacts: Path,
    out: Path,
    plan: Plan | None = None,
    corpus: str = "corpus",
    progress: SilentProgress | None = None,
) -> dict[str, Any]:
    return evaluate_model(
        plan or planned(evaluate=PARAMETERS),
        artifacts / "train",
        artifacts / corpus,
        artifacts / "tokenizer",
        artifacts / "tokens",
        out,
        progress or SilentProgress(),
    )


def test_figures_agree_with_each_other_and_with_the_text(
    artifacts: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    result = evaluate(artifacts, tmp_path)
    assert json.loads((tmp_path / "evaluation.json").read_text()) == result
    assert capfd.readouterr() == ("", "")

    text = "".join(HELD_OUT).encode()
    tokens = len(TokenShard.open(artifacts / "tokens", "held_out"))
    loss = result["held_out_loss_nats_per_token"]
    assert result["held_out_documents"] == len(HELD_OUT)
    assert result["held_out_bytes"] == len(text)
    assert result["held_out_tokens"] == result["held_out_tokens_available"] == tokens
    assert result["held_out_perplexity"] == pytest.approx(math.exp(loss))
    assert result["held_out_bits_per_byte"] == pytest.approx(loss * (tokens - 1) / math.log(2) / len(text))
    # Random weights know nothing: somewhere above the entropy of a uniform guess.
    assert loss > 0.9 * math.log(VOCAB_SIZE)
    assert [sample["prompt"] for sample in result["samples"]] == PARAMETERS["prompts"]
    assert metrics_of(result) == {
        "held_out_bits_per_byte": result["held_out_bits_per_byte"],
        "held_out_near_copies": 0,
        "held_out_contaminated_fraction": 0.0,
    }

    rivals = result["baselines"]
    alone = lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)
    assert rivals["xz_bits_per_byte"] == 8 * len(alone) / len(text)
    # One text generator wrote both splits, so having read the one must help with the other.
    assert 0 < rivals["xz_with_training_text_bits_per_byte"] < rivals["xz_bits_per_byte"]
    assert rivals["xz_with_training_text_not_measured"] is None
    assert 0 < rivals["unigram_bits_per_byte"] < result["held_out_bits_per_byte"]


def test_the_loss_is_known_by_document_and_by_source(artifacts: Path, tmp_path: Path) -> None:
    result = evaluate(artifacts, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "held_out.jsonl").read_text().splitlines()]
    assert [row["bytes"] for row in rows] == [len(text.encode()) for text in HELD_OUT]
    nats = sum(row["nats"] for row in rows)
    assert nats == pytest.approx(result["held_out_loss_nats_per_token"] * result["held_out_predicted_tokens"])
    by_source = result["held_out_by_source"]
    assert {source: one["documents"] for source, one in by_source.items()} == {"docs": 5, "mail": 4}
    whole = sum(one["bits_per_byte"] * one["bytes"] for one in by_source.values())
    assert whole / result["held_out_bytes"] == pytest.approx(result["held_out_bits_per_byte"])
    assert by_source["docs"]["bits_per_byte"] != by_source["mail"]["bits_per_byte"]
    assert result["held_out_near_copies"]["documents_with_near_copy"] == 0


def test_a_whole_evaluation_has_figures_and_can_be_shown(artifacts: Path, tmp_path: Path) -> None:
    result = evaluate(artifacts, tmp_path)
    shown = io.StringIO()
    show_evaluation(Console(file=shown), result)
    assert f"{result['held_out_bits_per_byte']:.3f}" in shown.getvalue()
    assert metrics_of(result)["held_out_bits_per_byte"] == result["held_out_bits_per_byte"]
    assert result["contamination"]["sets"]["held_out"]["texts_contaminated"] == 0
    # The documents are of forty words at most.
    assert result["regurgitation"]["passages"] == 0


def test_same_inputs_same_bytes(artifacts: Path, tmp_path: Path) -> None:
    plan = planned(evaluate=PARAMETERS | {"sample_temperature": 0.8})
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        evaluate(artifacts, tmp_path / name, plan)
    first, second = ((tmp_path / name / "evaluation.json").read_bytes() for name in ("first", "second"))
    assert first == second


def test_the_limit_cuts_between_documents(artifacts: Path, tmp_path: Path) -> None:
    table = parquet.read_table(artifacts / "tokens" / "documents.parquet").to_pylist()
    lengths = [row["tokens"] for row in table if row["split"] == "held_out"]
    limit = sum(lengths[:3]) + 1
    result = evaluate(artifacts, tmp_path, planned(evaluate=PARAMETERS | {"held_out_max_tokens": limit}))
    assert result["held_out_tokens"] == limit - 1
    assert result["held_out_documents"] == 3
    assert result["held_out_bytes"] == len("".join(HELD_OUT[:3]).encode())


def test_few_documents_are_said_to_be_few(artifacts: Path, tmp_path: Path) -> None:
    said: list[str] = []

    class Notes(SilentProgress):
        def note(self, line: str) -> None:
            said.append(line)

    evaluate(artifacts, tmp_path, progress=Notes())
    assert "held-out documents: 9, few to judge by: raise data.held_out_fraction" in said


def test_too_much_text_for_xz_is_said(
    artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "XZ_DICTIONARY_BYTES", 1_000)
    rivals = evaluate(artifacts, tmp_path)["baselines"]
    assert rivals["xz_with_training_text_bits_per_byte"] is None
    assert "xz remembers 1000" in rivals["xz_with_training_text_not_measured"]


@pytest.mark.parametrize(
    ("held_out", "words"),
    [(HELD_OUT[:-1], "lacks document"), ([*HELD_OUT[:-1], "x"], "the tokens stand for")],
)
def test_another_corpus_is_refused(artifacts: Path, tmp_path: Path, held_out: list[str], words: str) -> None:
    write_corpus(tmp_path / "other", TRAIN, held_out)
    with pytest.raises(StageError, match=words):
        evaluate(artifacts, tmp_path, corpus=str(tmp_path / "other"))
    assert not (tmp_path / "evaluation.json").exists()


def test_no_weights_is_one_line(artifacts: Path, tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "config.json").write_bytes((artifacts / "train" / "config.json").read_bytes())
    with pytest.raises(StageError, match="no model to load") as caught:
        evaluate_model(
            planned(evaluate=PARAMETERS),
            tmp_path / "train",
            artifacts / "corpus",
            artifacts / "tokenizer",
            artifacts / "tokens",
            tmp_path,
            SilentProgress(),
        )
    assert len(caught.value.lines) == 1
    assert "\n" not in str(caught.value)


def test_weights_are_measured_in_the_dtype_they_were_trained_in(artifacts: Path, tmp_path: Path) -> None:
    losses = []
    for dtype in (torch.bfloat16, torch.float32):
        folder = tmp_path / str(dtype)
        folder.mkdir()
        write_model(folder / "train", planned().model, dtype)
        result = evaluate_model(
            planned(evaluate=PARAMETERS),
            folder / "train",
            artifacts / "corpus",
            artifacts / "tokenizer",
            artifacts / "tokens",
            folder,
            SilentProgress(),
        )
        losses.append(result["held_out_loss_nats_per_token"])
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
