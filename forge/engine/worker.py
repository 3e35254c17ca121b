"""The training worker: open the plan, join the others, build, resume, train, save."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deepspeed
import torch

from forge.data.loading import SPLITS, TokenShard, sequence_count
from forge.data.pairs import Reference
from forge.engine.batches import RankBatches, sequence_order
from forge.engine.checkpoint import load_checkpoint
from forge.engine.checkpoint_folder import checkpoint_folder, writing_problem
from forge.engine.compiled import compile_layers
from forge.engine.distributed import Place, from_each_rank, from_rank_0, max_over_ranks
from forge.engine.evaluation import HeldOut
from forge.engine.events import append_event, shown_values
from forge.engine.expert_parallel import ExpertGroup
from forge.engine.fp8 import multiply_in_fp8
from forge.engine.guard import Course
from forge.engine.heartbeat import Heartbeat
from forge.engine.loop import Training, train
from forge.engine.loss import compute_loss_inside, computes_its_loss
from forge.engine.loss_scale import scale_losses
from forge.engine.measures import Measures
from forge.engine.memory import peak_memory_bytes
from forge.engine.model import PAD_ID, build_model
from forge.engine.optimizer import build_optimizer
from forge.engine.prefetch import Prefetched
from forge.engine.skips import Window, add_window, documents_of, read_windows
from forge.engine.stopping import StopRequest
from forge.engine.summary import summarize
from forge.engine.swapping import clear_swap_files, set_swap_folder, swap_folder, swapping_problem
from forge.engine.tensorboard import TensorBoardFile
from forge.engine.token_checks import token_facts, tokens_problem
from forge.engine.weights import save_weights
from forge.errors import StageError
from forge.plan.parametrization import scale_of
from forge.plan.types import Plan

DTYPES = {"bf16": torch.bfloat16, "fp8": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}

DOCUMENTS_IN_AN_EVENT = 20
"""skipped.json names all of them."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a worker is given beside its plan."""

    run_dir: Path
    """Events, checkpoints, logs."""
    out: Path
    """For the trained model."""
    start_up_s: Callable[[], float]
    """Seconds since launch; asked once, before the first step."""
    stop: StopRequest
    heartbeat: Heartbeat
    reference: Path | None = None
    """The reference artifact, where preferences are learnt."""


def work(plan: Plan, tokens: Path, around: Surroundings, place: Place) -> None:
    """Train `plan` on the tokens artifact, from its newest checkpoint on; all ranks call it.

    Writes events and checkpoints to the run folder and, when all steps are done, the model and training.json to `out`.
    While rank 0 of each machine builds the network, a thread of it checks every byte of the tokens.

    Raises:
        StageError: plan and tokens do not fit, the tokens were changed, training diverged, or the disk is full.
    """
    events_path = around.run_dir / "events.jsonl"

    board: TensorBoardFile | None = None

    def tell(event: str, **fields: Any) -> None:
        if place.rank == 0:
            append_event(events_path, event, **fields)
            if board is not None and (shown := shown_values({"event": event, **fields})):
                board.add(fields["step"], shown)

    facts = token_facts(tokens)
    check(plan, facts, place)
    folder = checkpoint_folder(around.run_dir)
    if problem := from_rank_0(writing_problem(folder) if place.rank == 0 else None, place):
        raise StageError(problem)
    shard = TokenShard.open(tokens, "train")
    check_phases(plan, shard)
    references = _references(plan, around)
    held_out = None
    if plan.schedule.evaluate_every_steps:
        held_out = HeldOut.of(
            plan,
            TokenShard.open(tokens, "held_out"),
            facts["bos_id"],
            facts["eos_id"],
            references.get("held_out"),
        )
    engine = build_beside_check(plan, tokens, shard.pad_id, place, around.run_dir)
    windows = from_rank_0(read_windows(around.run_dir) if place.rank == 0 else None, place)
    resumed = load_checkpoint(
        engine, plan, around.run_dir, windows, place, lambda line: tell("note", line=line)
    )
    step, course = (resumed.step, resumed.course) if resumed else (0, Course())
    tell(
        "train_start",
        step=step,
        resumed_from=resumed.step if resumed else None,
        steps=plan.schedule.steps,
        start_up_s=around.start_up_s(),
    )
    if place.rank == 0:
        board = TensorBoardFile(around.run_dir / "tensorboard", first_step=step + 1)
    training = Training(
        engine=engine,
        plan=plan,
        held_out=held_out,
        batches=Prefetched(
            RankBatches(
                plan,
                shard,
                place.rank,
                place.device,
                facts["bos_id"],
                facts["eos_id"],
                place.sequence_group,
                references.get("train"),
            )
        ),
        measures=Measures(plan, sequence_order(plan, shard)),
        run_dir=around.run_dir,
        place=place,
        windows=windows,
        stop=around.stop,
        heartbeat=around.heartbeat,
        tell=tell,
    )
    ending, window = train(training, step, course)
    if window is not None and place.rank == 0:
        _leave_out(plan, tokens, around.run_dir, window, tell)
    if ending == "done":
        around.heartbeat.rest(plan.schedule.steps, "saving the model")
        save_weights(engine, plan, around.out, place)
        peak_bytes = max_over_ranks(peak_memory_bytes(place.device), place)
        if place.rank == 0:
            summary = summarize(plan, events_path, peak_bytes)
            text = json.dumps(summary, indent=2) + "\n"
            (around.out / "training.json").write_text(text, encoding="utf-8")
    clear_swap_files(around.run_dir, place.rank)
    tell("train_end", ending=ending)


def _leave_out(plan: Plan, tokens: Path, run_dir: Path, window: Window, tell: Callable[..., None]) -> None:
    """Write down which steps the training leaves out from now on, and the documents in them."""
    documents = documents_of(plan, tokens, window)
    add_window(run_dir, window, documents)
    tell(
        "going_back",
        first_step=window.first,
        last_step=window.last,
        reason=window.reason,
        documents=documents[:DOCUMENTS_IN_AN_EVENT],
        document_count=len(documents),
    )


def _references(plan: Plan, around: Surroundings) -> dict[str, Reference]:
    """Return what preferences are compared with, by split; {} where none are learnt.

    Raises:
        StageError: it is missing or damaged.
    """
    if plan.schedule.task != "dpo":
        return {}
    if around.reference is None:
        raise StageError(
            "train: preferences are learnt against a reference, and none is given: use forge-run"
        )
    return {split: Reference.open(around.reference, split) for split in SPLITS}


def build_beside_check(plan: Plan, tokens: Path, pad_id: int | None, place: Place, run_dir: Path) -> Any:
    """Return the engine, built while a thread of rank 0 of each machine checks every byte of the tokens.

    Raises:
        StageError: the tokens were changed, or what the plan keeps on a disk can't be kept there.
    """
    lacking = None
    if place.local_rank == 0:
        clear_swap_files(run_dir)
        lacking = swapping_problem(plan.layout)
    if found := next((line for line in from_each_rank(lacking, place) if line), None):
        raise StageError(found)
    with ThreadPoolExecutor(max_workers=1) as beside:
        checked = beside.submit(tokens_problem, tokens) if place.local_rank == 0 else None
        engine = build_engine(
            plan, PAD_ID if pad_id is None else pad_id, swap_folder(run_dir, place.rank), place.expert_group
        )
        problems = from_each_rank(checked.result() if checked else None, place)
    if found := next((line for line in problems if line), None):
        raise StageError(found)
    return engine


def build_engine(
    plan: Plan,
    pad_id: int = PAD_ID,
    swap_to: Path | None = None,
    expert_group: ExpertGroup | None = None,
) -> Any:
    """Return the DeepSpeed engine around the model that training starts from; all ranks call it.

    What the plan keeps on a disk lies in `swap_to`; of experts this rank has those that are its own in `expert_group`.
    """
    layout = plan.layout
    dtype = DTYPES[layout.precision]
    network = build_model(
        plan.model,
        plan.seed,
        "none" if layout.compile_layers else layout.activation_checkpointing,
        layout.attention,
        pad_id,
        dtype,
        next((Path(source.path) for source in plan.initial_weights), None),
        lambda name, dimensions: scale_of(name, dimensions, plan.model, plan.schedule).first_value,
        expert_group,
    )
    if layout.precision == "fp8":
        multiply_in_fp8(network)
    if layout.compile_layers:
        compile_layers(network, layout.activation_checkpointing == "full")
    if computes_its_loss(plan.model, layout.loss_chunks):
        compute_loss_inside(network, layout.loss_chunks)
    optimizer = build_optimizer(plan, network)
    config = json.loads(json.dumps(plan.deepspeed))  # its own copy: DeepSpeed writes into it
    if swap_to is not None:
        set_swap_folder(config, swap_to)
    if layout.zero_stage == 3:
        # Weight by weight; `initialize` alone would first put the whole model on every device.
        deepspeed.zero.Init(module=network, config_dict_or_path=config)
    engine, *_ = deepspeed.initialize(model=network, optimizer=optimizer, config=config)
    if layout.precision == "fp16":
        scale_losses(engine)
    return engine


def check(plan: Plan, facts: dict[str, Any], place: Place) -> None:
    """Refuse a plan that can't train here, on tokens of which tokens.json says `facts`.

    Raises:
        StageError: with the reason and the remedy.
    """
    layout, schedule = plan.layout, plan.schedule
    if layout.precision != "fp32" and layout.zero_stage == 0:
        # DeepSpeed 0.19's wrapper for these takes a dummy Adam step first: the first updates come out too small.
        raise StageError(
            f"train: {layout.precision} does not train right with engine.zero_stage=0: use engine.zero_stage=1"
        )
    if place.world_size != layout.world_size:
        raise StageError(
            f"train: {place.world_size} processes run a plan for {layout.world_size}: start it with forge-run"
        )
    replicas = layout.world_size // layout.sequence_parallel_degree
    whole = replicas * layout.micro_batch_sequences * layout.gradient_accumulation_steps
    if whole != schedule.global_batch_sequences:
        raise StageError(
            f"train: {replicas} processes x {layout.micro_batch_sequences} sequences x "
            f"{layout.gradient_accumulation_steps} accumulated make a batch of {whole}, the plan's is "
            f"{schedule.global_batch_sequences}: compile the plan again"
        )
    if facts["vocab_size"] > plan.model.vocab_size:
        raise StageError(
            f"train: the tokens have a vocabulary of {facts['vocab_size']}, the model of {plan.model.vocab_size}: "
            "compile the plan again"
        )
    if sequence_count(facts["train_tokens"], schedule.sequence_length) < 1:
        raise StageError(
            f"train: {facts['train_tokens']} training tokens do not fill one sequence of "
            f"{schedule.sequence_length} and its target: add documents or lower train.sequence_length"
        )


def check_phases(plan: Plan, shard: TokenShard) -> None:
    """Refuse tokens that do not have the phases of `plan`.

    Raises:
        StageError: with the reason and the remedy.
    """
    phases = plan.schedule.phases
    if len(shard.phases) != len(phases):
        raise StageError(
            f"train: the tokens are of a training in {len(shard.phases)} phases, the plan has {len(phases)}: "
            "compile the plan again"
        )
    for number, phase in enumerate(sequence_order(plan, shard).phases, 1):
        if not phase.counts.sum():
            raise StageError(
                f"train: the text of phase {number} does not fill one sequence of {plan.schedule.sequence_length}: add "
                "documents to its sources, or raise their weights in train.phases"
            )
