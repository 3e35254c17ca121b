"""The reference stage launched for real: killed, stopped, and going on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from forge.data.pairs import Reference
from forge.engine.distributed import Place
from forge.engine.launch import run_training
from forge.engine.processes import Job
from forge.engine.reference_parts import sequences_done
from forge.errors import Interrupted
from forge.progress import SilentProgress
from tests.engine.chats import write_pairs
from tests.engine.runs import events_of, make_run, refer_here
from tests.engine.test_dpo import dpo_plan
from tests.engine.test_launch import interrupt, kill_rank

SEQUENCES = 400


class Meddler(SilentProgress):
    """Does things, each once, when a number of sequences has been read."""

    def __init__(self, acts: list[tuple[int, Callable[[], None]]]) -> None:
        self.acts, self.done = acts, 0.0
        self.lines: list[str] = []

    def start(self, total: float, unit: str) -> None:
        assert (total, unit) == (SEQUENCES + 4, "sequences")

    def resume(self, amount: float) -> None:
        self.done += amount

    def advance(self, amount: float = 1.0) -> None:
        self.done += amount
        if self.acts and self.done >= self.acts[0][0]:
            self.acts.pop(0)[1]()

    def note(self, line: str) -> None:
        self.lines.append(line)


@pytest.mark.soak
def test_killed_and_stopped_it_goes_on_to_the_same_numbers(tmp_path: Path, place: Place) -> None:
    pairs = write_pairs(tmp_path / "pairs", sequences=SEQUENCES)
    plan = dpo_plan({"processes_per_node": 2, "micro_batch_sequences": 1, "zero_stage": 3})
    run_dir, out = make_run(tmp_path, plan), tmp_path / "reference"
    out.mkdir()
    job = Job(plan, run_dir / "plan.json", pairs, run_dir, out, stage="reference")
    meddler = Meddler([(64, lambda: kill_rank(run_dir, 1)), (200, interrupt)])
    with pytest.raises(Interrupted) as caught:
        run_training(job, meddler)
    assert caught.value.exit_code == 130
    (line,) = caught.value.lines
    assert line.startswith("reference: stopped at sequence ")
    assert line.endswith("what was done is kept: the same command goes on")
    assert any("reference: rank 1 was killed by signal 9" in note for note in meddler.lines)
    (restart,) = events_of(run_dir, "restart")
    assert restart["number"] == 1
    stopped_at = sequences_done(out)
    assert 200 <= stopped_at < SEQUENCES
    again = Meddler([])
    run_training(job, again)
    assert again.done == SEQUENCES + 4
    read = [event["sequences_done"] for event in events_of(run_dir, "reference")]
    assert read == sorted(read)
    assert read[-1] == SEQUENCES + 4
    alone = dpo_plan()
    refer_here(alone, pairs, run_dir, tmp_path / "alone", place)
    for split in ("train", "held_out"):
        found, given = (Reference.open(folder, split) for folder in (out, tmp_path / "alone"))
        assert found.starts.tolist() == given.starts.tolist()
        np.testing.assert_allclose(found.log_probabilities, given.log_probabilities, atol=2e-5)
