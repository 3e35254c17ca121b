"""The constants that plans for a CPU rest on, measured on this machine with forge's own engine.

    python benchmarks/cpu_rate.py [--threads 2] [--steps 8]

For two small models in bf16 and fp32 it trains a few steps with micro-batches of 1 and of 4 sequences, each in its
own process (in bf16 the smaller model alone where the CPU only emulates it, twenty times slower). Time is linear in
the micro-batch: the slope is the rate at which a thread computes the model's FLOPs, the intercept what DeepSpeed adds
to each micro-batch. Wall-clock time is right on a quiet machine; CPU time divided by the threads leaves out what other
processes take. Below the figures stand the constants that forge ships.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forge.plan.compile import compile_plan
from forge.plan.cpu_time import CPU_STEP_OVERHEAD_S
from forge.plan.hardware import CPU_TFLOPS_PER_THREAD
from forge.plan.machine import probe_machine
from forge.plan.memory import CPU_PROCESS_BYTES
from forge.plan.model import model_flops_per_token
from forge.plan.types import Plan
from forge.spec.compose import compose_spec

MODELS = {
    "3M": ("model=llama_3m",),
    "19M": (
        "model=llama_3m",
        "model.layers=5",
        "model.hidden_size=512",
        "model.attention_heads=8",
        "model.kv_heads=4",
        "model.intermediate_size=1408",
    ),
}
PRECISIONS = ("bf16", "fp32")
MICRO_BATCHES = (1, 4)
SEQUENCE_LENGTH = 512
WARM_UP_STEPS = 2


@dataclass(frozen=True, slots=True)
class Sample:
    """One training: median seconds of a step, by the clock and by CPU time a thread, and memory before the model."""

    wall_s: float
    cpu_s: float
    process_bytes: int


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--threads", type=int, default=probe_machine().cores, help="threads to compute with")
    parser.add_argument("--steps", type=int, default=8, help="steps to time, after two that are not timed")
    parser.add_argument(
        "--one", nargs=3, metavar=("MODEL", "PRECISION", "MICRO_BATCH"), help=argparse.SUPPRESS
    )
    arguments = parser.parse_args()
    if arguments.one:
        model, precision, micro_batch = arguments.one
        sample = _train(_plan(model, precision, int(micro_batch), arguments.threads, arguments.steps))
        print(json.dumps([sample.wall_s, sample.cpu_s, sample.process_bytes]))
        return
    native = probe_machine().has_native_bf16
    kind = "native" if native else "emulated"
    print(
        f"{arguments.threads} threads, {kind} bf16, sequence {SEQUENCE_LENGTH}; by the clock | by CPU time a thread"
    )
    print(f"{'model':5} {'precision':9} {'TFLOP/s a thread':>20} {'overhead ms':>16} {'process MiB':>12}")
    for name in MODELS:
        for precision in PRECISIONS:
            if precision == "fp32" or native or name == "3M":
                _row(name, precision, arguments.threads, arguments.steps)
    ships = ", ".join(f"{name} {rate:.3f}" for name, rate in CPU_TFLOPS_PER_THREAD.items())
    print(
        f"forge ships: {ships} TFLOP/s a thread, {CPU_STEP_OVERHEAD_S * 1e3:.0f} ms, {CPU_PROCESS_BYTES >> 20} MiB"
    )


def _row(name: str, precision: str, threads: int, steps: int) -> None:
    few, many = (
        _in_own_process(name, precision, micro_batch, threads, steps) for micro_batch in MICRO_BATCHES
    )
    plan = _plan(name, precision, 1, threads, steps)
    sequence_flops = SEQUENCE_LENGTH * model_flops_per_token(plan.model, SEQUENCE_LENGTH)
    rates, overheads = [], []
    for short_s, long_s in ((few.wall_s, many.wall_s), (few.cpu_s, many.cpu_s)):
        slope_s = (long_s - short_s) / (MICRO_BATCHES[1] - MICRO_BATCHES[0])
        rates.append(f"{sequence_flops / slope_s / threads / 1e12:.3f}")
        overheads.append(f"{(short_s - slope_s * MICRO_BATCHES[0]) * 1e3:.0f}")
    rate, overhead = " | ".join(rates), " | ".join(overheads)
    print(f"{name:5} {precision:9} {rate:>20} {overhead:>16} {few.process_bytes >> 20:>12}", flush=True)


def _in_own_process(name: str, precision: str, micro_batch: int, threads: int, steps: int) -> Sample:
    environment = os.environ | {
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "DS_ACCELERATOR": "cpu",
        "GLOO_SOCKET_IFNAME": "lo",
        "LOCAL_RANK": "0",
    }
    command = [sys.executable, __file__, "--threads", str(threads), "--steps", str(steps)]
    command += ["--one", name, precision, str(micro_batch)]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True)
    if answer.returncode:
        raise SystemExit(answer.stderr)
    return Sample(*json.loads(answer.stdout.splitlines()[-1]))


def _plan(name: str, precision: str, micro_batch: int, threads: int, steps: int) -> Plan:
    batch_tokens = micro_batch * SEQUENCE_LENGTH
    spec = compose_spec(
        [
            *MODELS[name],
            *("tokenizer=bpe_4k", "hardware=local", f"hardware.threads_per_process={threads}"),
            *("engine.zero_stage=1", f"engine.micro_batch_sequences={micro_batch}"),
            *("engine.activation_checkpointing=none", f"train.precision={precision}"),
            *(f"train.steps={steps + WARM_UP_STEPS}", f"train.global_batch_tokens={batch_tokens}"),
            *(f"train.sequence_length={SEQUENCE_LENGTH}", "train.log_every_steps=1"),
        ]
    )
    return compile_plan(spec.values, "local", probe_machine(), ())


def _train(plan: Plan) -> Sample:
    """Train in this process as the only rank."""
    import torch

    from forge.data.loading import TokenShard
    from forge.engine.batches import RankBatches, sequence_order
    from forge.engine.distributed import join, leave
    from forge.engine.guard import Course
    from forge.engine.heartbeat import Heartbeat
    from forge.engine.loop import Training, train
    from forge.engine.measures import Measures
    from forge.engine.prefetch import Prefetched
    from forge.engine.stopping import StopRequest
    from forge.engine.worker import build_engine
    from tests.factories import BOS_ID, EOS_ID, write_tokens

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokens = write_tokens(folder / "tokens", train_tokens=200_000, vocab_size=plan.model.vocab_size)
        meeting = (folder / "store").as_uri()
        torch.distributed.init_process_group("gloo", init_method=meeting, rank=0, world_size=1)
        place = join(plan.layout)
        process_bytes = _resident_bytes()
        walls, cpus = [], [time.process_time()]

        def tell(event: str, **fields: Any) -> None:
            if event == "step":
                walls.append(fields["step_time_s"])
                cpus.append(time.process_time())

        shard = TokenShard.open(tokens, "train")
        training = Training(
            engine=build_engine(plan),
            plan=plan,
            held_out=None,
            batches=Prefetched(RankBatches(plan, shard, 0, place.device, BOS_ID, EOS_ID)),
            measures=Measures(plan, sequence_order(plan, shard)),
            run_dir=folder,
            place=place,
            windows=(),
            stop=StopRequest(folder),
            heartbeat=Heartbeat(folder, 0),
            tell=tell,
        )
        train(training, 0, Course())
        leave()
    threads = plan.layout.threads_per_process
    used = [(after - before) / threads for before, after in itertools.pairwise(cpus)]
    return Sample(
        statistics.median(walls[WARM_UP_STEPS:]), statistics.median(used[WARM_UP_STEPS:]), process_bytes
    )


def _resident_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


if __name__ == "__main__":
    main()
