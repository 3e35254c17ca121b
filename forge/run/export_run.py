"""The export of a run on its own: of the trained model, or of the newest checkpoint of a training that goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forge.errors import StageError
from forge.export.llama_server import require_llama_cpp
from forge.files import WORK_FOLDER
from forge.plan.stages import plan_stage
from forge.plan.types import Plan, StagePlan, content_hash, load_plan
from forge.progress import Progress
from forge.run.artifacts import Artifact, find_artifact, make_artifact
from forge.run.gates import lines_of_gates
from forge.run.trained import newest_checkpoint, write_weights

if TYPE_CHECKING:
    from forge.export.export import Trained


def export_run(run_dir: Path, formats: Sequence[str], progress: Progress) -> Artifact:
    """Return the export of a run in `formats`, made where it is not there yet.

    Raises:
        StageError: the run has neither a trained model nor a checkpoint, its evaluation breaks a gate, or the export
            failed.
        SpecError: the folder is no run.
    """
    plan, root = load_plan(run_dir / "plan.json"), run_dir.resolve().parent.parent / "artifacts"
    require_llama_cpp(formats)
    found = {
        name: find_artifact(root, plan.stage(name)) for name in ("tokenizer", "tokens", "train", "evaluate")
    }
    tokenizer, tokens, train, evaluate = found.values()
    if tokenizer is None or tokens is None:
        raise StageError(f"export: {run_dir}: has no tokens yet: give its forge-run command again")
    if evaluate is not None and (lines := lines_of_gates(plan, evaluate.summary)):
        raise StageError(*lines)
    parameters = plan.stage("export").parameters | {"formats": list(formats)}
    keys = {name: artifact.key for name, artifact in found.items() if artifact is not None}
    if train is not None:
        stage = plan_stage("export", parameters, keys)
        trained = _trained(train.folder, tokenizer, tokens, evaluate, plan.schedule.steps)
        return make_artifact(
            root, stage, lambda out: _export(plan, stage, trained, out, progress), _wait(progress)
        )

    checkpoint, manifest = newest_checkpoint(plan, run_dir, "export", progress)
    step: int = manifest["step"]
    stage = plan_stage("export", parameters, keys | {"checkpoint": content_hash(manifest)})

    def make(out: Path) -> dict[str, Any]:
        weights = out / WORK_FOLDER / "train"
        write_weights(plan, checkpoint, manifest, "export", weights)
        return _export(plan, stage, _trained(weights, tokenizer, tokens, None, step), out, progress)

    progress.note(f"the training is at step {step} of {plan.schedule.steps}: exporting {checkpoint}")
    return make_artifact(root, stage, make, _wait(progress))


def _wait(progress: Progress) -> Callable[[], None]:
    return lambda: progress.note("another process is making the same; waiting for it")


def _trained(
    train: Path, tokenizer: Artifact, tokens: Artifact, evaluate: Artifact | None, steps: int
) -> Trained:
    from forge.export.export import Trained

    evaluation = evaluate.folder if evaluate is not None else None
    return Trained(train, tokenizer.folder, tokens.folder, evaluation, steps)


def _export(plan: Plan, stage: StagePlan, trained: Trained, out: Path, progress: Progress) -> dict[str, Any]:
    from forge.export.export import export_model

    stages = tuple(stage if each.name == stage.name else each for each in plan.stages)
    return export_model(replace(plan, stages=stages), trained, out, progress)
