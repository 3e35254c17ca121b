"""Carry out the points of a sweep: which starts when and where, and what becomes of each.

A point waits until it has places to compute in, and until what it shares with another that is at work is made: started
before, it would hold its places and wait. One that another forge-run carries out is waited for; its result is taken.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from forge.errors import Interrupted
from forge.progress import Progress
from forge.run.interrupts import interrupting_signal
from forge.run.quantities import counted, duration
from forge.run.sweep import processes
from forge.run.sweep.point import Infeasible, Outcome, Point, in_making, is_done, would_wait
from forge.run.sweep.processes import Child, Watch
from forge.run.sweep.slots import Slots

_LOOK_EVERY_S = 0.2
_ELSEWHERE_EVERY_S = 1.0
_SAY_AFTER_S = 5.0

Say = Callable[[str], None]


class Chooser(Protocol):
    """Says which points there are besides those that are known, and which are not worth their time."""

    @property
    def width(self) -> int:
        """Points to have at a time."""

    def more(self, outcomes: dict[int, Outcome]) -> Point | Infeasible | None:
        """Return the next point, given what became of those before; None where there is none."""

    def ends_early(self, point: Point, held_out: dict[int, float]) -> bool:
        """True where a run with these held-out losses by step should be ended."""


class NoMore:
    """The chooser of a grid: all its points are known, and each is carried to its end."""

    width = 0

    def more(self, outcomes: dict[int, Outcome]) -> Point | Infeasible | None:
        """Return None."""
        return None

    def ends_early(self, point: Point, held_out: dict[int, float]) -> bool:
        """Return False."""
        return False


@dataclass(slots=True)
class State:
    """Where a sweep is."""

    points: list[Point | Infeasible]
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    """By number, of the points that have ended."""
    at_work: set[int] = field(default_factory=set)

    def outcome(self, number: int) -> Outcome:
        """Return what became of a point, or what it is doing."""
        return self.outcomes.get(number, Outcome("running" if number in self.at_work else "waiting"))

    def count(self, status: str) -> int:
        """Return how many points ended so."""
        return sum(outcome.status == status for outcome in self.outcomes.values())


def carry_out(
    state: State,
    slots: Slots,
    chooser: Chooser,
    progress: Progress,
    say: Say,
    changed: Callable[[State], None],
    source_hashes: Path | None = None,
) -> None:
    """Carry out the points of `state` that have no outcome, and those that `chooser` adds.

    Args:
        state: is brought up to date as points end.
        slots: where runs compute.
        chooser: adds points, and ends runs early.
        progress: shows the steps of all runs.
        say: shows a line.
        changed: called after each change of the state, to write it down.
        source_hashes: cache of the hashes of the user's files.

    Raises:
        Interrupted: Ctrl-C or SIGTERM came; runs at work ended with a checkpoint.
        OSError: a file of the sweep cannot be written.
    """
    _Carrier(state, slots, chooser, progress, say, changed, source_hashes).work()


class _Carrier:
    def __init__(
        self,
        state: State,
        slots: Slots,
        chooser: Chooser,
        progress: Progress,
        say: Say,
        changed: Callable[[State], None],
        source_hashes: Path | None,
    ) -> None:
        self._state, self._slots, self._chooser = state, slots, chooser
        self._progress, self._say, self._changed = progress, say, changed
        self._source_hashes = source_hashes
        self._waiting: list[Point] = []
        self._children: list[Child] = []
        self._elsewhere: list[tuple[Point, Watch]] = []
        self._same: dict[str, int] = {}
        """Number of the first point of each plan."""
        self._steps: dict[int, int] = {}
        self._looked_elsewhere_s = 0.0
        self._said_full = False
        self._waiting_since_s = time.monotonic()

    def work(self) -> None:
        for point in self._state.points:
            if point.number not in self._state.outcomes:
                self._take_in(point)
        # Those that need most devices first: the small ones fill up what is left.
        self._waiting.sort(key=lambda point: -point.plan.layout.world_size)
        try:
            self._find_elsewhere()
            while self._ask() or self._waiting or self._children or self._elsewhere:
                self._start_some()
                self._look()
                time.sleep(_LOOK_EVERY_S)
        except KeyboardInterrupt as interrupt:
            raise self._stop(interrupt) from None
        except BaseException:
            # What cannot be written down cannot be watched either; a run that was started ends by itself.
            for child in self._children:
                child.stop()
            raise

    def _take_in(self, point: Point | Infeasible) -> None:
        if isinstance(point, Infeasible):
            self._state.outcomes[point.number] = Outcome("infeasible", point.lines)
            return
        first = self._same.setdefault(point.plan.id, point.number)
        if first != point.number and first in self._state.outcomes:
            self._state.outcomes[point.number] = self._state.outcomes[first]
        elif is_done(point):
            self._state.outcomes[point.number] = Outcome("done")
        elif first == point.number:
            self._waiting.append(point)

    def _ask(self) -> bool:
        """Ask for as many points as may be at work; return whether one came."""
        came = False
        while len(self._waiting) + len(self._children) + len(self._elsewhere) < self._chooser.width:
            point = self._chooser.more(self._state.outcomes)
            if point is None:
                break
            came = True
            self._state.points.append(point)
            self._take_in(point)
            outcome = self._state.outcomes.get(point.number)
            if isinstance(point, Infeasible):
                self._say(f"run {point.number} does not compile: {'; '.join(point.lines)}")
            elif (first := self._same[point.plan.id]) != point.number:
                self._say(f"{point.named()}: is the same as run {first}")
            elif outcome is not None:
                self._say(f"{point.named()}: {outcome.status} before")
            self._changed(self._state)
        return came

    def _start_some(self) -> None:
        """Start the runs that have places to compute in and all that they share."""
        limit = self._slots.parallel_runs
        full: set[tuple[str, int, int]] = set()
        making: set[tuple[str, str]] | None = None
        for point in list(self._waiting):
            if limit is not None and len(self._children) >= limit:
                return
            layout = point.plan.layout
            places = (layout.device, layout.nodes, layout.processes_per_node)
            if places in full:
                continue
            held = self._slots.take(layout)
            if held is None:
                full.add(places)
                continue
            if making is None:
                making = in_making(each for each, _ in self._at_work())
            if would_wait(point, making):
                held.close()
                continue
            making = None
            self._waiting.remove(point)
            self._children.append(processes.start(point, held, self._source_hashes, time.monotonic()))
            self._state.at_work.add(point.number)
            self._say(f"{point.named()}: started; {point.log}")
            self._changed(self._state)
        self._say_if_kept_waiting(bool(full) and not self._at_work())

    def _say_if_kept_waiting(self, is_waiting: bool) -> None:
        """Say once that runs of others have all places; for a moment one that has just ended has its own."""
        now_s = time.monotonic()
        if not is_waiting:
            self._waiting_since_s = now_s
        elif not self._said_full and now_s - self._waiting_since_s > _SAY_AFTER_S:
            self._said_full = True
            self._say("waiting: runs of another forge-run in this output folder have all places to compute")

    def _at_work(self) -> list[tuple[Point, Watch]]:
        return [(child.point, child.watch) for child in self._children] + self._elsewhere

    def _look(self) -> None:
        for child in list(self._children):
            child.watch.look()
            self._follow(child.point, child.watch)
            if child.process.poll() is not None:
                self._children.remove(child)
                child.watch.look()
                self._take_result(child)
            elif not child.ending_early and self._chooser.ends_early(child.point, child.watch.held_out):
                child.ending_early = True
                child.stop()
        if time.monotonic() - self._looked_elsewhere_s >= _ELSEWHERE_EVERY_S:
            self._find_elsewhere()
        states = (f"run {point.number} {watch.state()}" for point, watch in self._at_work())
        self._progress.status("; ".join(states))

    def _find_elsewhere(self) -> None:
        """Set aside the waiting runs that other processes carry out, and take up those that they have ended."""
        self._looked_elsewhere_s = time.monotonic()
        for place in list(self._elsewhere):
            self._look_elsewhere(*place)
        for point in list(self._waiting):
            if processes.is_elsewhere(point):
                self._waiting.remove(point)
                self._elsewhere.append((point, processes.watch_of(point)))
                self._say(f"{point.named()}: is being carried out by another forge-run: waiting for it")

    def _look_elsewhere(self, point: Point, watch: Watch) -> None:
        watch.look()
        self._follow(point, watch)
        if processes.is_elsewhere(point):
            return
        self._elsewhere.remove((point, watch))
        if is_done(point):
            self._end(point, Outcome("done"), "by another forge-run")
        else:
            self._waiting.insert(0, point)

    def _take_result(self, child: Child) -> None:
        self._state.at_work.discard(child.point.number)
        outcome = child.outcome()
        if outcome is None:
            self._waiting.insert(0, child.point)
            self._find_elsewhere()
            return
        self._end(child.point, outcome, f"in {duration(time.monotonic() - child.began_s)}")

    def _end(self, point: Point, outcome: Outcome, how: str) -> None:
        for other in self._state.points:
            if isinstance(other, Point) and other.plan.id == point.plan.id:
                self._state.outcomes[other.number] = outcome
        self._advance(point, point.plan.schedule.steps)
        if outcome.status == "done":
            self._say(f"{point.named()}: done {how}")
        elif outcome.status == "pruned":
            self._say(f"{point.named()}: ended early at step {outcome.step}: others are better there")
        else:
            self._say(f"{point.named()}: {outcome.status}: {'; '.join(outcome.lines)}")
        self._changed(self._state)

    def _follow(self, point: Point, watch: Watch) -> None:
        self._advance(point, watch.step)

    def _advance(self, point: Point, step: int) -> None:
        known = self._steps.get(point.number, 0)
        if step > known:
            self._steps[point.number] = step
            self._progress.advance(step - known)

    def _stop(self, interrupt: KeyboardInterrupt) -> Interrupted:
        """Ask the runs at work to end with a checkpoint, and wait for it unless a second interrupt comes."""
        try:
            if self._children:
                self._say(
                    f"stopping {counted(len(self._children), 'run')}, with a checkpoint; "
                    "interrupt again to stop at once"
                )
            for child in self._children:
                child.stop()
            while any(child.process.poll() is None for child in self._children):
                time.sleep(_LOOK_EVERY_S)
        except KeyboardInterrupt:
            for child in self._children:
                child.kill()
                child.process.wait()
        for child in self._children:
            outcome = child.outcome()
            if outcome is not None:
                done = outcome.status == "done"
                self._state.outcomes[child.point.number] = outcome if done else Outcome("stopped")
        self._state.at_work.clear()
        with contextlib.suppress(OSError):
            self._changed(self._state)
        return Interrupted(
            interrupting_signal(interrupt),
            f"sweep: stopped with {self._state.count('done')} of {counted(len(self._state.points), 'run')} done: "
            "the same command goes on",
        )
