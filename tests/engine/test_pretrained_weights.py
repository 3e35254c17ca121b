from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from forge.data.loading import TokenShard, batch_sequence_indices, load_batch, sequence_count
from forge.data.model_folder import fingerprint_model
from forge.engine.distributed import Place
from forge.engine.documents import WITHIN_DOCUMENTS, Documents
from forge.engine.loss import micro_batch_loss
from forge.engine.model import build_model
from forge.errors import StageError
from forge.export.hf_folder import write_hf_folder
from forge.plan.pretrained import read_pretrained
from forge.plan.types import Plan, SourcePlan
from tests.engine.runs import losses, make_run, train_here
from tests.export.artifacts import FAMILIES, planned, write_model, write_tokenizer
from tests.factories import BOS_ID, EOS_ID, tiny_plan


@pytest.mark.parametrize("shape", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_weights_are_those_that_transformers_loads(
    shape: dict[str, Any], dtype: torch.dtype, tmp_path: Path
) -> None:
    model = planned(shape).model
    write_model(tmp_path, model, torch.float32)
    network = build_model(model, seed=1, dtype=dtype, initial_weights=tmp_path)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=dtype)
    expected = dict(loaded.named_parameters())
    assert {name for name, _ in network.named_parameters()} == set(expected)
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, expected[name]), name
    tied = network.lm_head.weight is network.model.embed_tokens.weight
    assert tied == model.tied_embeddings


def test_weights_that_went_missing_are_one_line(tmp_path: Path) -> None:
    model = planned().model
    write_model(tmp_path, planned({"layers": 1}).model)
    with pytest.raises(StageError, match="is not what it was when the plan was compiled") as caught:
        build_model(model, seed=1, initial_weights=tmp_path)
    assert len(caught.value.lines) == 1


def _exported_loss(plan: Plan, folder: Path, tokens: Path) -> float:
    """Return the exported model's loss on the batch of the first step, by transformers' own loader."""
    network = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation=WITHIN_DOCUMENTS
    )
    shard = TokenShard.open(tokens, "train")
    length, rows = plan.schedule.sequence_length, plan.schedule.global_batch_sequences
    indices = batch_sequence_indices(0, rows, sequence_count(len(shard), length), plan.seed)
    inputs, targets = load_batch(shard, np.asarray(indices), length)
    documents = Documents.find(inputs, BOS_ID, EOS_ID, torch.device("cpu"))
    with torch.no_grad():
        found = micro_batch_loss(
            network, torch.from_numpy(inputs), torch.from_numpy(targets), plan.model, 1, documents
        )
    return float(found.cross_entropy)


@pytest.mark.parametrize("zero_stage", [1, 3])
def test_training_goes_on_from_the_loss_of_the_exported_model(
    zero_stage: int, tmp_path: Path, tokens: Path, place: Place
) -> None:
    first = tiny_plan(schedule={"steps": 20, "checkpoint_every_steps": 20})
    train_here(first, tokens, make_run(tmp_path / "first", first), place)
    write_tokenizer(tmp_path / "tokenizer")
    folder = tmp_path / "hf"
    write_hf_folder(first.model, "fp32", tmp_path / "first" / "out", tmp_path / "tokenizer", folder)
    found = read_pretrained(str(folder))
    assert found.shape == {name: getattr(first.model, name) for name in found.shape}
    identity = fingerprint_model(folder, None)
    plan = tiny_plan(
        layout={"zero_stage": zero_stage},
        initial_weights=(SourcePlan(str(folder), identity.files, identity.bytes, identity.sha256),),
        seed=11,
    )
    run_dir = make_run(tmp_path / "second", plan)
    train_here(plan, tokens, run_dir, place)
    assert losses(run_dir)[1] == pytest.approx(_exported_loss(plan, folder, tokens), abs=1e-6)
    assert losses(run_dir)[1] < losses(tmp_path / "first" / "run")[1] - 0.2


def test_the_identity_of_a_folder_is_its_config_and_weights(tmp_path: Path) -> None:
    write_model(tmp_path, planned().model)
    before = fingerprint_model(tmp_path, None)
    assert before.files == 2
    (tmp_path / "README.md").write_text("words")
    assert fingerprint_model(tmp_path, None) == before
    write_model(tmp_path, planned().model, seed=2)
    assert fingerprint_model(tmp_path, None).sha256 != before.sha256
