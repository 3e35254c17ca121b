"""The evaluate stage: perplexity on held-out documents, rivals for scale, a few samples, and questions."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer

from forge.data.corpus_rows import corpus_rows, split_bytes
from forge.data.loading import TokenShard
from forge.data.pairs import Reference
from forge.errors import StageError
from forge.evaluate import baselines
from forge.evaluate.asking import reply_ends
from forge.evaluate.by_document import write_losses
from forge.evaluate.closed_book import ask_questions
from forge.evaluate.examined import Examined, examine
from forge.evaluate.near_copies import near_copies
from forge.evaluate.perplexity import document_loss_nats
from forge.evaluate.preferences import measure_preferences
from forge.evaluate.prompts import prompt_ids
from forge.evaluate.regurgitation import Trained, regurgitation
from forge.evaluate.samples import continue_prompt
from forge.evaluate.tasks import run_tasks
from forge.evaluate.texts import held_out_sources
from forge.plan.types import Plan
from forge.progress import Progress
from forge.quiet import quiet_transformers

FEW_DOCUMENTS = 10
"""Below that a figure on held-out text says as much about the documents as about the model."""


def evaluate_model(
    plan: Plan,
    train: Path,
    corpus: Path,
    tokenizer: Path,
    tokens: Path,
    out: Path,
    progress: Progress,
    reference: Path | None = None,
) -> dict[str, Any]:
    """Measure the model in `train` on held-out documents, write `out`/evaluation.json and return its content.

    `out`/held_out.jsonl has the loss of every document. Where questions are asked, `out`/questions.jsonl has every one
    (`forge.evaluate.recall`).

    Bits per byte = summed loss in bits / UTF-8 bytes of the measured documents. The sum includes what it costs to
    predict where documents begin and end, so text of the same corpus compares across tokenizers. Of conversations only
    answers, with their ends, are predicted and counted; a prompt is what a user says, and the sample the answer. Of
    preferences it is the preferred answers; where the pairs have a `reference`, how often those gain more than the
    others is measured as well.

    Raises:
        StageError: nothing is held out, the limit is below the first document, a prompt is too long, the loss is
            not finite, the artifacts do not belong together, or a file of questions or facts is wrong.
    """
    parameters = plan.stage("evaluate").parameters
    facts = json.loads((tokens / "tokens.json").read_text(encoding="utf-8"))
    examined = examine(parameters, corpus, tokens, plan.schedule.task, progress)
    stream, held_out = examined.stream, examined.held_out
    model = load_model(train, plan.layout.device)

    progress.note(f"measuring {held_out.tokens} of {facts['held_out_tokens']} held-out tokens")
    if len(held_out.document_ids) < FEW_DOCUMENTS:
        progress.note(
            f"held-out documents: {len(held_out.document_ids)}, few to judge by: raise data.held_out_fraction"
        )
    losses = document_loss_nats(
        model,
        stream,
        held_out.ends,
        plan.schedule.sequence_length,
        plan.layout.micro_batch_sequences,
        facts["bos_id"],
        facts["eos_id"],
        progress,
    )
    nats = float(losses.sum())
    loss_nats = nats / max(held_out.predicted_tokens, 1)
    result = {
        "held_out_loss_nats_per_token": loss_nats,
        "held_out_perplexity": math.exp(loss_nats),
        "held_out_bits_per_byte": nats / math.log(2) / held_out.bytes,
        "held_out_tokens": held_out.tokens,
        "held_out_predicted_tokens": held_out.predicted_tokens,
        "held_out_bytes": held_out.bytes,
        "held_out_documents": len(held_out.document_ids),
        "held_out_tokens_available": facts["held_out_tokens"],
        "held_out_by_source": write_losses(out, held_out, held_out_sources(corpus), losses.tolist()),
        "held_out_near_copies": near_copies(
            corpus,
            held_out.document_ids,
            plan.stage("corpus").parameters["shingle_words"],
            plan.stage("corpus").parameters["near_duplicate_jaccard"],
            progress,
        ),
        "sequence_length": plan.schedule.sequence_length,
        "samples": _samples(plan, model, tokenizer, progress),
        "baselines": _baselines(tokens, corpus, examined, facts["vocab_size"], progress),
        "contamination": examined.contamination,
        "regurgitation": _regurgitation(plan, model, corpus, tokens, progress),
        "recall": ask_questions(plan, parameters, examined.questions, model, corpus, tokenizer, out, progress)
        if examined.questions
        else None,
        "tasks": _tasks(plan, train, tokenizer, progress),
    }
    if reference is not None:
        result["preferences"] = measure_preferences(
            model,
            stream,
            Reference.open(reference, "held_out"),
            held_out.tokens,
            plan.schedule.sequence_length,
            plan.layout.micro_batch_sequences,
            plan.schedule.dpo_beta,
            progress,
        )
    (out / "evaluation.json").write_text(
        json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
    return result


def load_model(train: Path, device: str) -> Any:
    """Return the model that a training left, to be measured. Raises StageError where there is none to load."""
    quiet_transformers()
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(train, local_files_only=True, dtype="auto")
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise StageError(f"evaluate: {train}: no model to load ({reason}): train again") from None
    return model.to(torch.device(device)).eval()


def _samples(plan: Plan, model: Any, folder: Path, progress: Progress) -> list[dict[str, str]]:
    parameters = plan.stage("evaluate").parameters
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ends = reply_ends(folder, plan.schedule.task != "pretrain")
    progress.start(len(parameters["prompts"]), "prompts")
    samples = []
    for prompt, ids in zip(parameters["prompts"], prompt_ids(plan, folder), strict=True):
        text = continue_prompt(
            model,
            tokenizer,
            ids,
            end_ids=ends,
            context_tokens=plan.model.max_sequence_length,
            sample_tokens=parameters["sample_tokens"],
            temperature=parameters["sample_temperature"],
            seed=plan.seed,
        )
        samples.append({"prompt": prompt, "text": text})
        progress.advance()
    return samples


def _tasks(plan: Plan, train: Path, tokenizer: Path, progress: Progress) -> dict[str, dict[str, Any]]:
    tasks = plan.stage("evaluate").parameters["tasks"]
    if not tasks:
        return {}
    progress.note("running standard tasks in lm-eval")
    device, batch_sequences = plan.layout.device, plan.layout.micro_batch_sequences
    return run_tasks(tasks, train, tokenizer, device, batch_sequences, plan.seed)


def _regurgitation(
    plan: Plan, model: Any, corpus: Path, tokens: Path, progress: Progress
) -> dict[str, Any] | None:
    passages = plan.stage("evaluate").parameters["regurgitation_samples"]
    if not passages:
        return None
    return regurgitation(
        model,
        Trained.open(tokens, plan.schedule),
        corpus,
        passages,
        plan.seed,
        plan.layout.micro_batch_sequences,
        progress,
    )


def _baselines(
    tokens: Path, corpus: Path, examined: Examined, vocab_size: int, progress: Progress
) -> dict[str, Any]:
    held_out, text = examined.held_out, "".join(examined.texts).encode()
    bits = baselines.unigram_bits(
        TokenShard.open(tokens, "train"),
        examined.stream,
        held_out.tokens,
        vocab_size,
        progress,
    )
    train_bytes = split_bytes(corpus, "train")
    both_fit = train_bytes + len(text) <= baselines.XZ_DICTIONARY_BYTES
    progress.start(len(text) + (2 * train_bytes + len(text) if both_fit else 0), "bytes")
    alone_bytes = baselines.xz_bytes([text], progress)
    seen_bytes = None
    if both_fit:
        # What the held-out text adds to an archive that already holds the training text.
        together_bytes = baselines.xz_bytes(itertools.chain(_training_texts(corpus), [text]), progress)
        seen_bytes = together_bytes - baselines.xz_bytes(_training_texts(corpus), progress)
    return {
        "unigram_bits_per_byte": bits / held_out.bytes,
        "xz_bits_per_byte": 8 * alone_bytes / held_out.bytes,
        "xz_with_training_text_bits_per_byte": None
        if seen_bytes is None
        else 8 * seen_bytes / held_out.bytes,
        "xz_with_training_text_not_measured": None
        if both_fit
        else f"training and held-out text have {train_bytes + len(text)} bytes; "
        f"xz remembers {baselines.XZ_DICTIONARY_BYTES}",
        "xz_preset": baselines.XZ_PRESET_NAME,
    }


def _training_texts(corpus: Path) -> Iterator[bytes]:
    return (row.text.encode() for row in corpus_rows(corpus, "train"))
