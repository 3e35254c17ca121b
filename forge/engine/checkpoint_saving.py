"""Saving while training goes on: it stands still for a copy to host memory; a thread of each rank writes the copy.

No rank waits for another while files are written. Each says in a file beside its own what it has brought to disk; rank
0's thread gives the checkpoint its name when all have. Writing is in a thread and not in a process of its own: hashing,
writing and fsync leave the interpreter to the training, and the copy need not be handed over.
"""

from __future__ import annotations

import errno
import shutil
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from forge.engine.checkpoint_folder import (
    checkpoint_folder,
    checkpoint_name,
    checkpoint_steps,
    clear_leftovers,
    kept_steps,
    prune,
    publish,
    read_manifest,
    read_parts,
    remove_part,
    space_problem,
    temporary_checkpoint,
    write_part,
)
from forge.engine.distributed import Place, from_each_rank, from_rank_0
from forge.engine.fragments import (
    Fragment,
    copy_values,
    host_copy,
    optimizer_steps,
    owned_fragments,
)
from forge.engine.guard import Course, course_to_json
from forge.engine.identity import training_id
from forge.engine.memory import available_memory_bytes
from forge.engine.shards import Shard, write_shards
from forge.engine.skips import Window, in_force
from forge.errors import StageError
from forge.plan.states import checkpoint_bytes
from forge.plan.types import Plan

AIR = 1.25
"""Free memory that a copy wants, as a multiple of its size."""

_LOOK_EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class State:
    """What a checkpoint says beside weights and moments."""

    step: int
    course: Course
    held_out_loss: float | None = None
    """Nats a token, where it was measured at this step."""
    loss_scale: dict[str, Any] | None = None
    """Of a training in fp16."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint that is whole and on disk."""

    step: int
    stall_s: float
    """How long training stood still for it."""
    write_s: float
    """From the copy to its name on disk."""


@dataclass(slots=True)
class _Flight:
    """A checkpoint being written."""

    step: int
    stall_s: float
    written: Future[str | None]
    """Of this rank's part: what went wrong, if anything."""
    published: Future[tuple[str | None, float | None]] | None
    """Rank 0's: what went wrong, and the seconds it took where the checkpoint is whole."""
    seen: bool = False


class CheckpointSaver:
    """Writes run_dir/checkpoints/step-<step>, never two at a time. Used as a context; all ranks make one.

    A checkpoint is 12 bytes a parameter, each rank writing the part it owns, and has its name when every byte is on
    disk; then those that `kept_steps` does not name are removed. The copy takes 12 bytes a parameter of host memory
    over all ranks and is kept for the next one; where that much is not free, training waits for the writing instead.

    Left in order, or by a StageError, which is every rank's, the context finishes what is being written; left by any
    other error it drops it.
    """

    def __init__(
        self, engine: Any, plan: Plan, run_dir: Path, windows: tuple[Window, ...], place: Place
    ) -> None:
        self._engine, self._plan, self._windows, self._place = engine, plan, windows, place
        self._folder = checkpoint_folder(run_dir)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._given_up = threading.Event()
        self._copy: list[list[Fragment]] = []
        self._flight: _Flight | None = None
        self._saved: list[Saved] = []

    def save(self, state: State) -> None:
        """Begin to write the present state, when the checkpoint before it is on disk; all ranks call it.

        Raises:
            StageError: the disk is full, or the checkpoint before could not be written; earlier ones are untouched.
        """
        self.finish()
        began_s = time.perf_counter()
        step = state.step
        prepared = (self._prepare(step) if self._place.rank == 0 else None, self._has_room())
        answers: list[tuple[str | None, bool]] = from_each_rank(prepared, self._place)
        if problem := answers[0][0]:
            raise StageError(problem)
        # All ranks of a machine take memory at once: that one lacks it is so for all.
        owned: Iterable[list[Fragment]] = owned_fragments(
            self._engine, self._plan.layout.zero_stage, self._place
        )
        if copied := all(room for _, room in answers):
            owned = self._copied(owned)
        written = self._thread.submit(self._write, step, owned, optimizer_steps(self._engine))
        published = None
        if self._place.rank == 0:
            published = self._thread.submit(self._publish, state, written, time.perf_counter())
        self._flight = _Flight(step, 0.0, written, published)
        if not copied:
            written.exception()  # what is being written must not change
        self._flight.stall_s = time.perf_counter() - began_s

    @property
    def failed(self) -> bool:
        """Whether this rank knows that what is being written will not be whole; `finish` then says why."""
        if self._flight is None:
            return False
        written, published = self._flight.written, self._flight.published
        if written.done() and (written.exception() or written.result()):
            return True
        return (
            published is not None
            and published.done()
            and bool(published.exception() or published.result()[0])
        )

    def news(self) -> list[Saved]:
        """Return the checkpoints that have got their names since the last call; none on ranks other than 0."""
        self._look()
        saved, self._saved = self._saved, []
        return saved

    def _look(self) -> None:
        flight = self._flight
        if flight is None or flight.seen or flight.published is None or not flight.published.done():
            return
        problem, write_s = flight.published.result()
        if problem is None and write_s is not None:
            flight.seen = True
            self._saved.append(Saved(flight.step, flight.stall_s, write_s))

    def finish(self) -> None:
        """Wait until what is being written is on disk under its name; all ranks call it.

        Raises:
            StageError: it could not be written; earlier checkpoints are untouched.
        """
        flight = self._flight
        if flight is None:
            return
        began_s = time.perf_counter()
        problems: list[str | None] = from_each_rank(flight.written.result(), self._place)
        problem = next((found for found in problems if found), None)
        if flight.published is not None:
            if problem is not None:
                self._given_up.set()
            problem = flight.published.result()[0] or problem
        problem = from_rank_0(problem, self._place)
        flight.stall_s += time.perf_counter() - began_s
        self._look()
        self._flight = None
        if problem is not None:
            if self._place.rank == 0:
                # The half that was written may fill the disk so that not even the error can be recorded.
                shutil.rmtree(temporary_checkpoint(self._folder, flight.step), ignore_errors=True)
            raise StageError(problem)

    def __enter__(self) -> CheckpointSaver:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None or issubclass(kind, StageError):
                self.finish()
        finally:
            self._given_up.set()
            self._thread.shutdown(wait=False)

    def _prepare(self, step: int) -> str | None:
        """Make the folder to write to; return why that can't be."""
        try:
            clear_leftovers(self._folder)
            if problem := space_problem(self._folder, step, self._plan.model.trainable_parameters):
                return problem
            temporary_checkpoint(self._folder, step).mkdir()
        except OSError as error:
            return _not_written(step, self._folder, error)
        return None

    def _has_room(self) -> bool:
        """Return whether this machine's memory holds a copy of what its ranks own."""
        if self._copy:
            return True
        copy_bytes = checkpoint_bytes(self._plan.model, self._plan.schedule.optimizer)
        return available_memory_bytes() >= AIR * copy_bytes / self._plan.layout.nodes

    def _copied(self, owned: Iterable[list[Fragment]]) -> list[list[Fragment]]:
        """Return the copy of `owned`, made at the first call and brought to the present values at each."""
        for number, some in enumerate(owned):
            if number == len(self._copy):
                self._copy.append(host_copy(some))
            copy_values(some, self._copy[number])
        return self._copy

    def _write(self, step: int, owned: Iterable[list[Fragment]], steps: int) -> str | None:
        """Write this rank's part; return what went wrong."""
        rank, folder = self._place.rank, temporary_checkpoint(self._folder, step)
        shards: list[Shard] = []
        try:
            for some in owned:
                shards += write_shards(some, folder, rank, len(shards))
            part = {"adam_steps": steps, "shards": [asdict(shard) for shard in shards]}
            write_part(self._folder, step, rank, part)
        except OSError as error:
            remove_part(self._folder, step, rank)
            return _not_written(step, self._folder, error)
        return None

    def _publish(
        self, state: State, written: Future[str | None], began_s: float
    ) -> tuple[str | None, float | None]:
        """Wait for every rank's part, then name the checkpoint and remove what is not kept any longer."""
        if written.exception() or written.result():
            return None, None  # `written` says why
        try:
            while (parts := read_parts(self._folder, state.step, self._place.world_size)) is None:
                if self._given_up.wait(_LOOK_EVERY_S):
                    return None, None
            publish(self._folder, state.step, self._manifest(state, parts))
            write_s = time.perf_counter() - began_s
            self._prune(state.step)
        except OSError as error:
            return _not_written(state.step, self._folder, error), None
        return None, write_s

    def _manifest(self, state: State, parts: list[dict[str, Any]]) -> dict[str, Any]:
        plan = self._plan
        return {
            "step": state.step,
            "plan": plan.id,
            "training": training_id(plan),
            "world_size": plan.layout.world_size,
            "zero_stage": plan.layout.zero_stage,
            "adam_steps": max(part["adam_steps"] for part in parts),  # a rank may own nothing
            "course": course_to_json(state.course),
            "left_out": in_force(state.step, self._windows),
            "held_out_loss": state.held_out_loss,
            "loss_scale": state.loss_scale,
            **_listed([shard for part in parts for shard in part["shards"]]),
        }

    def _prune(self, step: int) -> None:
        schedule = self._plan.schedule
        steps = checkpoint_steps(self._folder)
        best = self._best_step(steps) if schedule.evaluate_every_steps else None
        kept = kept_steps(steps, step, schedule.keep_checkpoints, schedule.keep_every_steps, best)
        prune(self._folder, kept)

    def _best_step(self, steps: list[int]) -> int | None:
        """Return the step of the checkpoint with the lowest held-out loss, the newest of such; None: none has one."""
        found = []
        for step in steps:
            try:
                manifest = read_manifest(self._folder / checkpoint_name(step), training_id(self._plan))
            except ValueError:  # damaged
                continue
            loss = manifest["held_out_loss"]
            if loss is not None and manifest["left_out"] == in_force(step, self._windows):
                found.append((loss, -step))
        return -min(found)[1] if found else None


def _listed(shards: list[dict[str, Any]]) -> dict[str, Any]:
    tensors: dict[str, dict[str, Any]] = {}
    for shard in shards:
        for piece in shard["pieces"]:
            tensor = tensors.setdefault(piece["name"], {"shape": list(piece["shape"]), "pieces": []})
            tensor["pieces"].append([piece["start"], piece["numel"], piece["file"]])
    files = {shard["name"]: {"bytes": shard["size_bytes"], "sha256": shard["sha256"]} for shard in shards}
    return {"files": files, "tensors": tensors}


def _not_written(step: int, folder: Path, error: OSError) -> str:
    remedy = {
        errno.EACCES: "make the folder writable",
        errno.EROFS: "make the folder writable",
        errno.EIO: "look after the disk",
    }.get(error.errno or 0, "is the disk full?")
    return (
        f"train: the checkpoint of step {step} could not be written to {folder} ({error.strerror or error}): "
        f"{remedy}; earlier checkpoints are intact"
    )
