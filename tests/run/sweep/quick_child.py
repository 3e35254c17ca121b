"""forge.run.sweep.child with stages that do next to nothing, as `spec.quick` of a plan says.

`{"stage": NAME, "do": ...}`: `fail` unless the file `until` is there, `die`, or `wait` for it; `file` gets a line
when it begins. `held_out` has what training measures, by step, and `value` the bits per byte that are found, which
else rise with the learning rate; the loss falls with the tokens, and is lowest at RATE. A plan whose seed is
$QUICK_FAILS fails.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from forge.engine.events import append_event
from forge.errors import StageError
from forge.progress import Progress
from forge.run import stages
from forge.run.stages import Workplace
from forge.run.sweep import child
from tests.summaries import SUMMARIES

RATE = 2e-3


def work(name: str) -> Callable[[Workplace, Path, Progress], dict[str, Any]]:
    def do(place: Workplace, out: Path, progress: Progress) -> dict[str, Any]:
        quick = place.plan.spec.get("quick", {})
        (out / name).write_text(name)
        if name == "train" and os.environ.get("QUICK_FAILS") == str(place.plan.seed):
            raise StageError("train: it does not learn: use another seed")
        if name == "train":
            _measure(place, quick.get("held_out", {}))
        if name == quick.get("stage"):
            _behave(quick)
        if name == "evaluate":
            value = quick.get("value", 1 + 100 * place.plan.schedule.learning_rate)
            loss = 2 + 3 * (place.plan.schedule.tokens / 1e5) ** -0.3
            off = math.log(place.plan.schedule.learning_rate / RATE)
            return SUMMARIES[name] | {
                "held_out_bits_per_byte": value,
                "held_out_loss_nats_per_token": loss + 0.05 * off**2,
            }
        return SUMMARIES[name]

    return do


def _measure(place: Workplace, held_out: dict[str, float]) -> None:
    for step, loss in held_out.items():
        append_event(
            place.run_dir / "events.jsonl",
            "evaluation",
            step=int(step),
            held_out_loss=loss,
            held_out_tokens=1,
            seconds=0.1,
        )


def _behave(quick: dict[str, Any]) -> None:
    if "file" in quick:
        with Path(quick["file"]).open("a") as file:
            file.write(f"{os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES', '')}\n")
    if quick["do"] == "fail" and not Path(quick.get("until", "/nowhere")).exists():
        raise StageError("train: it does not learn: use another learning rate")
    if quick["do"] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    while quick["do"] == "wait" and not Path(quick["until"]).exists():
        time.sleep(0.02)


if __name__ == "__main__":
    for each in SUMMARIES:
        stages.WORK[each] = work(each)
    sys.exit(child.main())
