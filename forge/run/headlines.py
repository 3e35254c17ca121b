"""What a stage found or made, in a few words."""

from __future__ import annotations

from forge.run.artifacts import Artifact
from forge.run.quantities import counted, size


def headline(artifact: Artifact) -> str:
    """Return in a few words what a stage found or made."""
    found = artifact.summary
    if artifact.stage == "lake":
        aside = f", {counted(found['files_set_aside'], 'file')} set aside" if found["files_set_aside"] else ""
        return f"{counted(found['documents'], 'document')}, {size(found['bytes'])} of text{aside}"
    if artifact.stage == "corpus":
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in found["set_aside"].items())
        return f"{counted(found['documents'], 'document')} kept" + (
            f"; set aside: {reasons}" if reasons else ""
        )
    if artifact.stage == "tokenizer":
        return f"{counted(found['vocab_size'], 'token')} in the vocabulary"
    if artifact.stage == "tokens":
        per_token = found["train_bytes_per_token"]
        return (
            f"{found['train_tokens']:,} to train on, {found['held_out_tokens']:,} held out, "
            f"{per_token:.2f} bytes a token"
        )
    if artifact.stage == "train":
        return (
            f"{counted(found['steps'], 'step')}, loss {found['first_loss']:.2f} to {found['final_loss']:.2f}, "
            f"{found['tokens_per_second']:,.0f} tokens/s"
        )
    if artifact.stage == "evaluate":
        documents = counted(found["held_out_documents"], "document")
        return f"{found['held_out_bits_per_byte']:.3f} bits per byte on {documents}"
    proof = found["proof"]
    return (
        f"{size(found['bytes'])}, equal to the trained model at "
        f"{counted(proof['logit_positions_equal'], 'position')}"
    )
