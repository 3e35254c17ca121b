"""What a stage found or made, in a few words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from forge.run.artifacts import Artifact
from forge.run.display import amount

MOST_REASONS = 5


def headline(artifact: Artifact) -> str:
    """Return in a few words what a stage found or made."""
    found = artifact.summary
    if artifact.stage == "lake":
        read = f"{found['documents']:,} documents, {amount(found['bytes'], 'bytes')}B of text"
        if not found["files_set_aside"]:
            return read
        return f"{read}, {found['files_set_aside']:,} files set aside: {_reasons(found['set_aside'])}"
    if artifact.stage == "corpus":
        reasons = f"; set aside: {_reasons(found['set_aside'])}" if found["set_aside"] else ""
        return f"{found['documents']:,} documents kept{reasons}"
    if artifact.stage == "tokenizer":
        return f"{found['vocab_size']:,} tokens in the vocabulary"
    if artifact.stage == "tokens":
        per_token = found["train_bytes_per_token"]
        return (
            f"{found['train_tokens']:,} to train on, {found['held_out_tokens']:,} held out, "
            f"{per_token:.2f} bytes a token"
        )
    if artifact.stage == "train":
        return (
            f"{found['steps']:,} steps, loss {found['first_loss']:.2f} to {found['final_loss']:.2f}, "
            f"{found['tokens_per_second']:,.0f} tokens/s"
        )
    if artifact.stage == "evaluate":
        return f"{found['held_out_bits_per_byte']:.3f} bits per byte on {found['held_out_documents']:,} documents"
    proof = found["proof"]
    return (
        f"{amount(found['bytes'], 'bytes')}B, equal to the trained model at "
        f"{proof['logit_positions_equal']:,} positions"
    )


def _reasons(counts: Mapping[str, int]) -> str:
    """Return the reasons with most behind them, and how many have another one."""
    ordered = Counter(counts).most_common()
    shown = [f"{count:,} {reason}" for reason, count in ordered[:MOST_REASONS]]
    rest = sum(count for _, count in ordered[MOST_REASONS:])
    return ", ".join([*shown, *([f"{rest:,} for other reasons"] if rest else [])])
