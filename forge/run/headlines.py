"""What a stage found or made, in a few words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from forge.run.artifacts import Artifact
from forge.run.quantities import counted, size

MOST_REASONS = 5


def headline(artifact: Artifact) -> str:
    """Return in a few words what a stage found or made."""
    found = artifact.summary
    if artifact.stage == "lake":
        read = f"{counted(found['documents'], 'document')}, {size(found['bytes'])} of text"
        if not found["files_set_aside"]:
            return read
        aside = counted(found["files_set_aside"], "file")
        return f"{read}, {aside} set aside: {_reasons(found['set_aside'])}"
    if artifact.stage == "corpus":
        reasons = f"; set aside: {_reasons(found['set_aside'])}" if found["set_aside"] else ""
        return f"{counted(found['documents'], 'document')} kept{reasons}"
    if artifact.stage == "tokenizer":
        return f"{counted(found['vocab_size'], 'token')} in the vocabulary"
    if artifact.stage == "tokens":
        per_token = found["train_bytes_per_token"]
        return (
            f"{found['train_tokens']:,} to train on, {found['held_out_tokens']:,} held out, "
            f"{per_token:.2f} bytes a token"
        )
    if artifact.stage == "reference":
        likelier = found["train_chosen_likelier_fraction"]
        pairs = counted(found["train_pairs"] + found["held_out_pairs"], "pair")
        return f"{pairs}; the preferred answer is the likelier one in {likelier:.0%} before training"
    if artifact.stage == "train":
        return (
            f"{counted(found['steps'], 'step')}, loss {found['first_loss']:.2f} to {found['final_loss']:.2f}, "
            f"{found['tokens_per_second']:,.0f} tokens/s"
        )
    if artifact.stage == "evaluate":
        documents = counted(found["held_out_documents"], "document")
        line = f"{found['held_out_bits_per_byte']:.3f} bits per byte on {documents}"
        if preferences := found.get("preferences"):
            line += f", the preferred answer gains more in {preferences['accuracy']:.0%}"
        recited = found["regurgitation"]
        if recited is not None and recited["passages"]:
            line += f", {recited['verbatim']} of {counted(recited['passages'], 'training passage')} recited"
        return line
    return f"{size(found['bytes'])}, {proven(found['proof'])}"


def proven(proof: Mapping[str, Any]) -> str:
    """Return what was shown of an export's folders, in a few words."""
    shown = []
    if "hf" in proof:
        shown.append(
            f"equal to the trained model at {counted(proof['hf']['logit_positions_equal'], 'position')}"
        )
    if "gguf" in proof:
        gguf = proof["gguf"]
        shown.append(f"GGUF within {gguf['f32_log_probability_max_abs_difference']:.0e} of it in llama.cpp")
    return ", ".join(shown)


def _reasons(counts: Mapping[str, int]) -> str:
    """Return the reasons with most behind them, and how many have another one."""
    ordered = Counter(counts).most_common()
    shown = [f"{count:,} {reason}" for reason, count in ordered[:MOST_REASONS]]
    rest = sum(count for _, count in ordered[MOST_REASONS:])
    return ", ".join([*shown, *([f"{rest:,} for other reasons"] if rest else [])])
