"""What a run made of its model on its page, and what was proven of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from forge.report.page import table, text
from forge.report.record import RunRecord
from forge.run.quantities import size


def export_part(record: RunRecord) -> str:
    """Return the export's files and proofs; nothing before there is one."""
    artifact = record.artifacts.get("export")
    if artifact is None:
        return ""
    found = artifact.summary
    proofs = [*_of_folder(found["proof"].get("hf")), *_of_gguf(found["proof"].get("gguf"))]
    files = [
        (f"{folder}/{name}", digest)
        for folder, sums in found["sha256"].items()
        for name, digest in sums.items()
    ]
    rows = [(text(name), f'<span class="code small">{text(digest)}</span>') for name, digest in files]
    return (
        f"<p>{size(found['bytes'])} in <code>{text(artifact.folder.parent.name)}/{text(artifact.folder.name)}</code>, "
        f"of step {found['steps']:,}, weights in {text(found['dtype'])}. Each was checked in a fresh process against "
        f"the trained model before it was published.</p>{table(('proven', '', ''), proofs, numbers={1})}"
        f"<details><summary>Files and their SHA-256</summary>{table(('file', 'SHA-256'), rows, raw=True)}</details>"
    )


def _of_folder(proof: Mapping[str, Any] | None) -> Iterator[tuple[str, str, str]]:
    if proof is None:
        return
    yield (
        "Hugging Face folder: weights equal",
        f"{proof['weight_tensors_equal']:,}",
        "tensors, bit for bit as cast",
    )
    yield "same logits in transformers", f"{proof['logit_positions_equal']:,}", "positions"
    yield "same tokens", f"{proof['tokenizer_strings_equal']:,}", "strings, hard ones among them"
    yield (
        "mean deviation of logits by the cast to the exported type",
        f"{proof['cast_logits_mean_deviation']:.2g}",
        f"of {proof['cast_logits_mean_deviation_bound']:g} allowed, {proof['trained_dtype']} to "
        f"{proof['exported_dtype']}",
    )


def _of_gguf(proof: Mapping[str, Any] | None) -> Iterator[tuple[str, str, str]]:
    if proof is None:
        return
    yield "GGUF: weights equal", f"{proof['tensors_equal']:,}", "tensors"
    yield "same tokens in llama.cpp", f"{proof['tokenizer_strings_equal']:,}", "strings and cuts of them"
    yield (
        "largest difference of a log-probability in llama.cpp, f32",
        f"{proof['f32_log_probability_max_abs_difference']:.1e}",
        f"of {proof['f32_log_probability_bound']:g} allowed",
    )
    for name, file in proof["files"].items():
        yield (
            f"{name}: more loss on held-out text",
            f"{file['held_out_nll_delta_nats_per_token']:+.1e}",
            f"nats a token, of {file['held_out_nll_bound_nats_per_token']:g} allowed; same greedy choice at "
            f"{file['greedy_same_choice_fraction']:.1%}",
        )
