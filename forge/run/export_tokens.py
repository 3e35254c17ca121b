"""A run's tokens for other trainers: Megatron-LM's layout, which nanotron reads too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from forge.errors import StageError
from forge.files import link_or_copy
from forge.plan.stages import KEY_HEX_DIGITS
from forge.plan.types import StagePlan, content_hash
from forge.progress import Progress
from forge.run.artifacts import Artifact, find_artifact, make_artifact
from forge.run.evaluations import artifacts_root, plan_of

MEGATRON = "megatron"
SPLITS = ("train", "held_out")


def export_tokens(run_dir: Path, progress: Progress) -> Artifact:
    """Return the tokens of a run as `train.bin`, `train.idx`, `held_out.*` and their tokenizer.

    Raises:
        SpecError: the folder is no run.
        StageError: it has no tokens yet, or tokens that mean more than their ids say.
    """
    plan, root = plan_of(run_dir), artifacts_root(run_dir)
    tokens, tokenizer = (find_artifact(root, plan.stage(name)) for name in ("tokens", "tokenizer"))
    if tokens is None or tokenizer is None:
        raise StageError(f"export: {run_dir}: has no tokens yet: give its forge-run command again")
    if plan.schedule.task != "pretrain":
        raise StageError(
            f"export: {run_dir}: learns answers, and the layout cannot say which tokens they are: export a run "
            "with train.task=pretrain"
        )
    inputs = {"tokens": tokens.key, "tokenizer": tokenizer.key}
    key = content_hash({"stage": MEGATRON, "inputs": inputs})[:KEY_HEX_DIGITS]

    def make(out: Path) -> dict[str, Any]:
        from forge.data.megatron import export_megatron

        for split in SPLITS:
            export_megatron(tokens.folder, split, out / split)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            link_or_copy(tokenizer.folder / name, out / name)
        return {"tokens": tokens.key}

    stage = StagePlan(MEGATRON, tuple(inputs), {}, key)
    return make_artifact(root, stage, make, lambda: progress.note("another process is making the same"))
