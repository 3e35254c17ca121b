"""The export stage: the trained model in the forms that others load, and the proof that each is that model.

out/hf/           a Hugging Face folder
out/gguf/         GGUF files, and for Ollama a Modelfile
out/export.json   of what plan and data it is, with what it was made, what was proven
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors

import forge
from forge.export.block_quantization import require_k_types
from forge.export.checksums import write_checksums
from forge.export.expressible import find_pre_tokenizer, read_chat_template, refuse_inexpressible
from forge.export.gguf_file import write_gguf
from forge.export.gguf_tensors import gguf_tensors
from forge.export.gguf_types import K_BLOCK_VALUES, K_TYPES, gguf_name
from forge.export.hf_folder import open_to_readers, write_hf_folder, write_json
from forge.export.llama_server import require_llama_cpp
from forge.export.model_card import LICENSE, model_card
from forge.export.modelfile import go_template, modelfile
from forge.export.proof import prove_gguf, prove_hf
from forge.export.stored_tensors import stored_tensors
from forge.plan.types import Plan
from forge.progress import Progress

HF_FOLDER, GGUF_FOLDER, ADAPTER_FOLDER = "hf", "gguf", "adapter"


@dataclass(frozen=True, slots=True)
class Trained:
    """Folders that earlier stages left."""

    train: Path
    tokenizer: Path
    tokens: Path
    evaluation: Path | None
    """None where the model was not measured."""
    steps: int
    """That the weights were trained for."""


def export_model(plan: Plan, trained: Trained, out: Path, progress: Progress) -> dict[str, Any]:
    """Write what `export.formats` asks for and `out`/export.json, prove it, and return export.json's content.

    Where adapters were trained the weights have them merged, and `out`/adapter has them as peft reads them.

    Raises:
        StageError: the model or tokenizer cannot be expressed, or the proof cannot run (nothing is written), or the
            proof failed (the caller must throw `out` away).
    """
    parameters = plan.stage("export").parameters
    formats, dtype = parameters["formats"], parameters["dtype"]
    refuse_inexpressible(plan, _read(trained.train / "config.json"))
    pre_tokenizer, unnamed = find_pre_tokenizer(
        _read(trained.tokenizer / "tokenizer.json"), plan.model.vocab_size, formats
    )
    read_chat_template(_read(trained.tokenizer / "tokenizer_config.json"))
    makes_gguf = "gguf" in formats or "ollama" in formats
    require_llama_cpp(formats)
    require_k_types(parameters["gguf_types"] if makes_gguf else ())
    template = go_template(trained.tokenizer) if "ollama" in formats else None
    evaluation = _read(trained.evaluation / "evaluation.json") if trained.evaluation else None

    kinds = parameters["gguf_types"] if makes_gguf else []
    progress.start(2 * ("hf" in formats) + 2 * makes_gguf + len(kinds), "steps")
    proof: dict[str, Any] = {}
    sums: dict[str, dict[str, str]] = {}
    versions = {"safetensors": safetensors.__version__}
    if unnamed is not None:
        progress.note(f"gguf and ollama would be refused: {unnamed}")
    if "hf" in formats:
        card = model_card(plan, dtype, evaluation, trained.steps)
        proof[HF_FOLDER] = _export_hf(plan, dtype, trained, card, out / HF_FOLDER, progress)
        sums[HF_FOLDER] = write_checksums(out / HF_FOLDER)
    if pre_tokenizer is not None and makes_gguf:
        hashes = _write_gguf_files(plan, kinds, pre_tokenizer, trained, out / GGUF_FOLDER, progress)
        if template is not None:
            text = modelfile(plan.model, kinds, trained.tokenizer, template, LICENSE)
            (out / GGUF_FOLDER / "Modelfile").write_text(text, encoding="utf-8")
        sums[GGUF_FOLDER] = write_checksums(out / GGUF_FOLDER, hashes)
        proof[GGUF_FOLDER] = _prove_gguf_files(plan, kinds, pre_tokenizer, trained, out, progress)
    if (trained.train / ADAPTER_FOLDER).is_dir():  # what of the merged weights was learnt
        shutil.copytree(trained.train / ADAPTER_FOLDER, out / ADAPTER_FOLDER)
    for name, figures in proof.items():
        versions |= figures.pop("versions")
        open_to_readers(out / name)
    result = {
        "plan_id": plan.id,
        "name": plan.name,
        "forge_version": forge.__version__,
        "steps": trained.steps,
        "formats": formats,
        "dtype": dtype,
        "pre_tokenizer": pre_tokenizer,
        "bytes": sum(path.stat().st_size for name in sums for path in (out / name).iterdir()),
        "lineage": {
            "sources": [
                {key: value for key, value in asdict(source).items() if key != "path"}
                for source in plan.sources
            ],
            "stages": {stage.name: stage.key for stage in plan.stages},
        },
        "sha256": sums,
        "proof": proof,
        "versions": versions,
    }
    write_json(out / "export.json", result)
    return result


def _export_hf(
    plan: Plan, dtype: str, trained: Trained, card: str, folder: Path, progress: Progress
) -> dict[str, Any]:
    progress.note(f"writing {dtype} weights")
    write_hf_folder(plan.model, dtype, trained.train, trained.tokenizer, folder)
    (folder / "README.md").write_text(card, encoding="utf-8")
    progress.advance()
    progress.note("comparing the folder with the trained model in a fresh process")
    figures = prove_hf(trained.train, trained.tokenizer, folder)
    progress.advance()
    return figures


def _write_gguf_files(
    plan: Plan, kinds: list[str], pre_tokenizer: str, trained: Trained, folder: Path, progress: Progress
) -> dict[str, str]:
    folder.mkdir()
    hashes = {}
    for kind in kinds:
        progress.note(f"writing {gguf_name(kind)}")
        hashes[gguf_name(kind)] = _write(plan, kind, pre_tokenizer, trained, folder)
        progress.advance()
    if named := [gguf_name(kind) for kind in kinds if kind in K_TYPES]:
        shapes = [tensor.shape for tensor in gguf_tensors(plan.model, stored_tensors(trained.train))]
        matrices = [shape for shape in shapes if len(shape) > 1]
        if odd := sum(shape[-1] % K_BLOCK_VALUES > 0 for shape in matrices):
            progress.note(
                f"{', '.join(named)}: {odd} of {len(matrices)} matrices have rows of no multiple of {K_BLOCK_VALUES} "
                "values: kept in larger types, as llama.cpp does"
            )
    return hashes


def _prove_gguf_files(
    plan: Plan, kinds: list[str], pre_tokenizer: str, trained: Trained, out: Path, progress: Progress
) -> dict[str, Any]:
    with _f32_file(plan, kinds, pre_tokenizer, trained, out) as f32:
        progress.advance()
        progress.note("comparing the GGUF files with the trained model in llama.cpp")
        figures = prove_gguf(trained.train, trained.tokenizer, trained.tokens, f32, out / GGUF_FOLDER)
    progress.advance()
    for name, file in figures["files"].items():
        progress.note(
            f"{name}: {file['held_out_nll_delta_nats_per_token']:+.5f} nats a token on held-out text, "
            f"{file['greedy_same_choice_fraction']:.1%} of greedy choices equal"
        )
    return figures


@contextmanager
def _f32_file(
    plan: Plan, kinds: list[str], pre_tokenizer: str, trained: Trained, out: Path
) -> Iterator[Path]:
    """Give the f32 file that llama.cpp is held against the trained model with; one for the proof alone is removed."""
    if "f32" in kinds:
        yield out / GGUF_FOLDER / gguf_name("f32")
        return
    with tempfile.TemporaryDirectory(prefix=".f32-", dir=out) as scratch:
        path = Path(scratch) / gguf_name("f32")
        write_checksums(path.parent, {path.name: _write(plan, "f32", pre_tokenizer, trained, path.parent)})
        yield path


def _write(plan: Plan, kind: str, pre_tokenizer: str, trained: Trained, folder: Path) -> str:
    return write_gguf(
        folder / gguf_name(kind), kind, plan.name, plan.model, pre_tokenizer, trained.train, trained.tokenizer
    )


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
