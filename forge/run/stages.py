"""What each stage does: the rooms' functions, given the artifacts they start from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from forge.errors import StageError
from forge.files import WORK_FOLDER
from forge.plan.stages import room_hash
from forge.plan.types import Plan, content_hash
from forge.progress import Progress

if TYPE_CHECKING:
    from forge.data.engine import Engine
    from forge.engine.hosts import Cluster


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where a plan is being carried out."""

    plan: Plan
    run_dir: Path
    source_hashes: Path | None
    """Where hashes of the user's files are remembered from one reading to the next."""
    cluster: Cluster | None = None
    """The machines of a run over several."""
    artifacts: dict[str, Path] = field(default_factory=dict)
    """Folders of the stages done so far."""

    @property
    def engine(self) -> Engine:
        """What carries out the map-like steps of data."""
        from forge.data.engine import Engine

        data = self.plan.spec.get("data", {})
        return Engine(data.get("engine", "local"), data.get("engine_address"))

    @property
    def plan_path(self) -> Path:
        """The run's plan.json."""
        return self.run_dir / "plan.json"


Work = Callable[[Workplace, Path, Progress], dict[str, Any]]
"""Fills a folder and returns the summary. What it needs is imported when it is called: a done stage costs nothing."""


def _lake(place: Workplace, out: Path, progress: Progress) -> dict[str, Any]:
    total_bytes = _start_workers_ahead(place)
    from forge.data.fingerprint import fingerprint, remembered
    from forge.data.fork_server import load_ahead
    from forge.data.lake import build_lake
    from forge.data.readings import Readings, earlier_lakes

    sources, parameters = place.plan.sources, place.plan.stage("lake").parameters
    how = content_hash(
        {
            "code": room_hash("data"),
            "parameters": {key: value for key, value in parameters.items() if key != "sources"},
        }
    )
    load_ahead(total_bytes)
    with remembered(place.source_hashes) as hashes:
        readings = Readings(earlier_lakes(list(out.parent.glob("lake-*")), how), hashes, how)
        summary = build_lake(
            [source.path for source in sources],
            parameters,
            out,
            progress,
            work=out / WORK_FOLDER,
            engine=place.engine,
            readings=readings,
        )
    for source in sources:
        now = fingerprint(source.path, place.source_hashes, progress, readings.seen.get(source.path))
        if now.sha256 != source.sha256:
            raise StageError(
                f"lake: {source.path}: is not what it was when the plan was compiled: give the same command again"
            )
    return summary


def _corpus(place: Workplace, out: Path, progress: Progress) -> dict[str, Any]:
    _start_workers_ahead(place)
    from forge.data.corpus import build_corpus
    from forge.data.signatures import known_of

    lake, parameters = place.artifacts["lake"], place.plan.stage("corpus").parameters
    how = content_hash({"code": room_hash("data"), "shingle_words": parameters["shingle_words"]})
    return build_corpus(
        lake,
        parameters,
        out,
        progress,
        work=out / WORK_FOLDER,
        engine=place.engine,
        known=known_of(list(out.parent.glob("corpus-*")), lake, how),
    )


def _start_workers_ahead(place: Workplace) -> int:
    """Have what workers are forked from start up while this process imports and reads; return the sources' bytes.

    It takes Arrow and not pandas.
    """
    from forge.data.fork_server import start_ahead
    from forge.data.without_pandas import load_arrow

    total_bytes = sum(source.bytes for source in place.plan.sources)
    if place.engine.name == "local":
        start_ahead(total_bytes)
    load_arrow()
    return total_bytes


def _tokenizer(place: Workplace, out: Path, progress: Progress) -> dict[str, Any]:
    from forge.data.tokenizer import Earlier, train_tokenizer

    parameters = place.plan.stage("tokenizer").parameters
    how = content_hash({"code": room_hash("data"), "parameters": parameters})
    earlier = Earlier(how, tuple(sorted(out.parent.glob("tokenizer-*"))))
    return train_tokenizer(place.artifacts["corpus"], parameters, out, progress, earlier)


def _tokens(place: Workplace, out: Path, progress: Progress) -> dict[str, Any]:
    from forge.data.without_pandas import load_arrow

    load_arrow()
    from forge.data.known_tokens import earlier_tokens, tokenizer_hash
    from forge.data.tokens import build_tokens

    artifacts = place.artifacts
    how = content_hash({"code": room_hash("data"), "tokenizer": tokenizer_hash(artifacts["tokenizer"])})
    return build_tokens(
        artifacts["corpus"],
        artifacts["tokenizer"],
        place.plan.stage("tokens").parameters,
        out,
        progress,
        work=out / WORK_FOLDER,
        engine=place.engine,
        earlier=earlier_tokens(out.parent.glob("tokens-*"), how),
    )


def _reference(place: Workplace, out: Path, progress: Progress) -> dict[str, Any]:
    return _engine(place, "reference", out, progress)


def _train(place: Workplace, out: Path, progress: Progress) -> dict[str, Any]:
    return _engine(place, "train", out, progress)


def _engine(
    place: Workplace, stage: Literal["train", "reference"], out: Path, progress: Progress
) -> dict[str, Any]:
    """Have the engine's workers do a stage."""
    from forge.data.model_folder import fingerprint_model
    from forge.engine.launch import run_training
    from forge.engine.processes import Job

    for source in place.plan.initial_weights:
        if fingerprint_model(Path(source.path), place.source_hashes, progress).sha256 != source.sha256:
            raise StageError(
                f"{stage}: {source.path}: is not what it was when the plan was compiled: give the same command again"
            )
    # What would be refused after a long training is refused before it.
    from forge.evaluate.prompts import prompt_ids

    prompt_ids(place.plan, place.artifacts["tokenizer"])
    evaluation = place.plan.stage("evaluate").parameters
    if evaluation["contamination"] == "refuse":
        from forge.evaluate.examined import examine

        artifacts = place.artifacts
        examine(evaluation, artifacts["corpus"], artifacts["tokens"], place.plan.schedule.task, progress)
    cluster = place.cluster if place.plan.layout.nodes > 1 else None
    job = Job(
        place.plan,
        place.plan_path,
        place.artifacts["tokens"],
        place.run_dir,
        out,
        cluster,
        stage,
        place.artifacts.get("reference"),
    )
    return run_training(job, progress)


def _evaluate(place: Workplace, out: Path, progress: Progress) -> dict[str, Any]:
    from forge.data.model_folder import fingerprint_model
    from forge.evaluate.evaluate import evaluate_model

    artifacts, parameters = place.artifacts, place.plan.stage("evaluate").parameters
    if (wanted := parameters["rival_sha256"]) is not None:
        folder = Path(parameters["rival_folder"])
        if fingerprint_model(folder, place.source_hashes, progress).sha256 != wanted:
            raise StageError(
                f"evaluate: {folder}: is not what it was when the plan was compiled: give the same command again"
            )
    return evaluate_model(
        place.plan,
        artifacts["train"],
        artifacts["corpus"],
        artifacts["tokenizer"],
        artifacts["tokens"],
        out,
        progress,
        artifacts.get("reference"),
    )


def _export(place: Workplace, out: Path, progress: Progress) -> dict[str, Any]:
    from forge.export.export import Trained, export_model

    artifacts = place.artifacts
    trained = Trained(
        train=artifacts["train"],
        tokenizer=artifacts["tokenizer"],
        tokens=artifacts["tokens"],
        evaluation=artifacts["evaluate"],
        steps=place.plan.schedule.steps,
    )
    return export_model(place.plan, trained, out, progress)


WORK: dict[str, Work] = {
    "lake": _lake,
    "corpus": _corpus,
    "tokenizer": _tokenizer,
    "tokens": _tokens,
    "reference": _reference,
    "train": _train,
    "evaluate": _evaluate,
    "export": _export,
}
