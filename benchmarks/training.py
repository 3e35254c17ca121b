"""Tokens a second of the same training through a bare torch loop, forge, and Hugging Face's Trainer with DeepSpeed.

    python -m benchmarks.training [--processes 1] [--rounds 3] [--steps 8] [--micro-batch 2] [--accumulation 2]
                                  [--precision bf16]

A Llama of 20 million parameters, in bf16 with fp32 master weights or in fp32, on this machine's CPU (one without
avx512_bf16 computes bf16 many times slower: take fp32 there). The systems run in turn, each
in fresh processes, on the same tokens in the same order; a round's figure is the median step after the first two. The
bare loop (DistributedDataParallel, fused AdamW on fp32 masters) is the limit; forge runs at ZeRO stage 1, which plans
choose, and also at stage 0 (in fp32) and with compiled layers.
Trainer is left out where `accelerate` is not installed. The last loss of each is shown: equal losses mean that the same
work was done.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from forge.engine.events import read_events
from forge.plan.types import Plan, load_plan, plan_to_json
from tests.factories import BOS_ID, EOS_ID, tiny_plan, write_tokens

WARM_UP_STEPS = 2
DOCUMENT_TOKENS = 400
VOCAB_SIZE, SEQUENCE_LENGTH = 4_096, 512
MODEL = {
    "layers": 5,
    "hidden_size": 512,
    "attention_heads": 8,
    "kv_heads": 4,
    "head_dim": 64,
    "intermediate_size": 1_408,
    "vocab_size": VOCAB_SIZE,
    "max_sequence_length": SEQUENCE_LENGTH,
}


@dataclass(frozen=True, slots=True)
class Measured:
    """What one system did in one round."""

    step_times_s: list[float]
    losses: list[float]
    """Nats a token, on rank 0's part of each batch (the whole batch's for forge)."""


BUCKET_BYTES = 25_000_000
"""The smallest that a plan chooses."""


def training_plan(
    processes: int,
    micro_batch: int,
    accumulation: int,
    steps: int,
    precision: str,
    sequence_length: int = SEQUENCE_LENGTH,
) -> Plan:
    """Return the plan of the training that every system carries out."""
    elements = BUCKET_BYTES // (2 if precision == "bf16" else 4)
    return tiny_plan(
        model=MODEL,
        layout={
            "processes_per_node": processes,
            "micro_batch_sequences": micro_batch,
            "gradient_accumulation_steps": accumulation,
            "threads_per_process": max(1, (os.cpu_count() or 1) // processes),
            "zero_stage": 1,
            "precision": precision,
            "bucket_bytes": BUCKET_BYTES,
        },
        schedule={
            "sequence_length": sequence_length,
            "steps": steps + WARM_UP_STEPS,
            "checkpoint_every_steps": steps + WARM_UP_STEPS,
            "learning_rate": 1e-3,
        },
        deepspeed={
            "zero_optimization": {
                "stage": 1,
                "reduce_bucket_size": elements,
                "allgather_bucket_size": elements,
                "reduce_scatter": False,
            }
        },
    )


def run_forge(plan: Plan, tokens: Path, run_dir: Path) -> Measured:
    """Train by forge's worker."""
    from forge.engine.distributed import join
    from forge.engine.heartbeat import Heartbeat
    from forge.engine.stopping import StopRequest
    from forge.engine.worker import Surroundings, work

    place = join(plan.layout)
    (run_dir / "logs").mkdir(parents=True, exist_ok=True)
    (run_dir / "out").mkdir(exist_ok=True)
    beats = Heartbeat(run_dir / "logs", place.rank)
    around = Surroundings(run_dir, run_dir / "out", lambda: 0.0, StopRequest(run_dir), beats)
    work(plan, tokens, around, place)
    events, _ = read_events(run_dir / "events.jsonl")
    steps = [event for event in events if event["event"] == "step"]
    return Measured([step["step_time_s"] for step in steps], [step["loss"] for step in steps])


def run_forge_compiled(plan: Plan, tokens: Path, run_dir: Path) -> Measured:
    """Train by forge's worker with compiled layers."""
    compiled = replace(plan, layout=replace(plan.layout, compile_layers=True))
    return run_forge(compiled, tokens, run_dir)


def run_forge_zero_0(plan: Plan, tokens: Path, run_dir: Path) -> Measured:
    """Train by forge's worker with every optimizer state on every process, as in the bare loop."""
    layout = replace(plan.layout, zero_stage=0)
    config = plan.deepspeed | {"zero_optimization": {"stage": 0}, "prescale_gradients": False}
    return run_forge(replace(plan, layout=layout, deepspeed=config), tokens, run_dir)


def run_bare(plan: Plan, tokens: Path, run_dir: Path) -> Measured:
    """Train in a plain torch loop: what the machine can do."""
    import torch

    from forge.data.loading import TokenShard
    from forge.engine.batches import RankBatches
    from forge.engine.distributed import join
    from forge.engine.model import build_model
    from forge.engine.schedule import learning_rate

    place, schedule, layout = join(plan.layout), plan.schedule, plan.layout
    halves = layout.precision == "bf16"
    network: Any = build_model(plan.model, plan.seed).to(torch.bfloat16 if halves else torch.float32)
    weights = list(network.parameters())
    masters = [weight.detach().float().clone().requires_grad_() for weight in weights] if halves else weights
    groups = [
        {"params": [m for m in masters if m.ndim >= 2], "weight_decay": schedule.weight_decay},
        {"params": [m for m in masters if m.ndim < 2], "weight_decay": 0.0},
    ]
    betas = (schedule.adam_beta1, schedule.adam_beta2)
    optimizer = torch.optim.AdamW(groups, betas=betas, eps=schedule.adam_epsilon, fused=True)
    if place.world_size > 1:
        network = torch.nn.parallel.DistributedDataParallel(network)
    batches = RankBatches(plan, TokenShard.open(tokens, "train"), place.rank, place.device, BOS_ID, EOS_ID)
    times_s, losses = [], []
    for step in range(schedule.steps):
        began_s = time.perf_counter()
        total = 0.0
        for number, batch in enumerate(batches.step(step), start=1):
            if place.world_size > 1:
                network.require_backward_grad_sync = number == layout.gradient_accumulation_steps
            output = network(input_ids=batch.inputs, use_cache=False, **batch.documents.options())
            logits = output.logits.flatten(0, 1).float()
            loss = torch.nn.functional.cross_entropy(logits, batch.targets.flatten())
            torch.autograd.backward(loss / layout.gradient_accumulation_steps)
            total += float(loss.detach()) / layout.gradient_accumulation_steps
        for master, weight in zip(masters, weights, strict=True):
            assert weight.grad is not None
            if halves:
                master.grad, weight.grad = weight.grad.float(), None
        torch.nn.utils.clip_grad_norm_(masters, schedule.gradient_clip)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, schedule)
        optimizer.step()
        if halves:
            with torch.no_grad():
                torch._foreach_copy_(weights, masters)
        optimizer.zero_grad()
        times_s.append(time.perf_counter() - began_s)
        losses.append(total)
    return Measured(times_s, losses)


def run_trainer(plan: Plan, tokens: Path, run_dir: Path) -> Measured:
    """Train by transformers.Trainer with DeepSpeed at the same ZeRO stage, documents packed as it finds them."""
    import deepspeed
    import torch
    import transformers

    from forge.data.loading import TokenShard, batch_sequence_indices, load_batch, sequence_count
    from forge.engine.model import build_model

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False  # would be compiled
    schedule, layout = plan.schedule, plan.layout
    torch.set_num_threads(layout.threads_per_process)
    shard = TokenShard.open(tokens, "train")
    sequences = sequence_count(len(shard), schedule.sequence_length)

    class Batches(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return schedule.steps * schedule.global_batch_sequences

        def __getitem__(self, position: int) -> dict[str, Any]:
            step, place = divmod(position, schedule.global_batch_sequences)
            index = batch_sequence_indices(step, schedule.global_batch_sequences, sequences, plan.seed)[place]
            inputs, _ = load_batch(shard, index[None], schedule.sequence_length)
            return {"input_ids": inputs[0], "labels": inputs[0]}

    class InOrder(transformers.Trainer):  # type: ignore[misc]
        def _get_train_sampler(self, *_: Any) -> Any:
            return torch.utils.data.SequentialSampler(Batches())

    class Clock(transformers.TrainerCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.times_s: list[float] = []
            self.began_s = 0.0

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.began_s = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.times_s.append(time.perf_counter() - self.began_s)

    config = json.loads(json.dumps(plan.deepspeed))
    config["optimizer"] = {
        "type": "AdamW",
        "params": {"lr": schedule.learning_rate, "weight_decay": schedule.weight_decay, "torch_adam": True},
    }
    arguments = transformers.TrainingArguments(
        output_dir=str(run_dir / "trainer"),
        max_steps=schedule.steps,
        per_device_train_batch_size=layout.micro_batch_sequences,
        gradient_accumulation_steps=layout.gradient_accumulation_steps,
        learning_rate=schedule.learning_rate,
        weight_decay=schedule.weight_decay,
        max_grad_norm=schedule.gradient_clip,
        bf16=layout.precision == "bf16",
        use_cpu=True,
        deepspeed=config,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    network = build_model(plan.model, plan.seed)
    network.set_attn_implementation("sdpa")
    clock = Clock()
    trainer = InOrder(model=network, args=arguments, train_dataset=Batches(), callbacks=[clock])
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return Measured(clock.times_s, losses)


SYSTEMS: dict[str, Callable[[Plan, Path, Path], Measured]] = {
    "bare torch": run_bare,
    "forge": run_forge,
    "forge, ZeRO 0": run_forge_zero_0,
    "forge, compiled layers": run_forge_compiled,
    "HF Trainer + DeepSpeed": run_trainer,
}


def worker_environment(plan: Plan, port: int) -> dict[str, str]:
    """Return what all workers of a plan find in the environment; each has its rank besides."""
    return os.environ | {
        "DS_ACCELERATOR": "cpu",
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_WAIT_POLICY": "PASSIVE",
        "OMP_NUM_THREADS": str(plan.layout.threads_per_process),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(plan.layout.world_size),
        "LOCAL_WORLD_SIZE": str(plan.layout.world_size),
    }


def measure(system: str, plan: Plan, tokens: Path, folder: Path) -> Measured:
    """Run a system in processes of its own and return what rank 0 measured."""
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(plan_to_json(plan), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = worker_environment(plan, port)
    command = [sys.executable, "-m", "benchmarks.training", "--system", system]
    command += ["--tokens", str(tokens), "--folder", str(folder)]
    workers = []
    with (folder / "log").open("wb") as log:
        for rank in range(plan.layout.world_size):
            place = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            workers.append(subprocess.Popen(command, env=environment | place, stdout=log, stderr=log))
        statuses = [worker.wait() for worker in workers]
    if any(statuses):
        raise RuntimeError((folder / "log").read_text(encoding="utf-8", errors="replace"))
    return Measured(**json.loads((folder / "measured.json").read_text(encoding="utf-8")))


def rounds_of(plan: Plan, rounds: int, systems: list[str], folder: Path) -> Iterator[tuple[str, Measured]]:
    """Yield what each system did in each round, the systems in turn."""
    tokens = write_tokens(
        folder / "tokens", train_tokens=400_000, vocab_size=VOCAB_SIZE, document_tokens=DOCUMENT_TOKENS
    )
    for number in range(rounds):
        for system in systems:
            yield system, measure(system, plan, tokens, folder / f"{system}-{number}".replace(" ", "-"))


def _work(system: str, tokens: Path, folder: Path) -> None:
    measured = SYSTEMS[system](load_plan(folder / "plan.json"), tokens, folder)
    if os.environ["RANK"] == "0":
        content = {"step_times_s": measured.step_times_s, "losses": measured.losses}
        (folder / "measured.json").write_text(json.dumps(content), encoding="utf-8")
    sys.stdout.flush()
    os._exit(0)  # leaving the group in order makes gloo abort now and then


def main() -> None:
    """Print one row a system."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--micro-batch", type=int, default=2)
    parser.add_argument("--accumulation", type=int, default=2)
    parser.add_argument("--precision", default="bf16", choices=("bf16", "fp32"))
    for name, kind in (("--system", str), ("--tokens", Path), ("--folder", Path)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.system:
        _work(given.system, given.tokens, given.folder)
    plan = training_plan(given.processes, given.micro_batch, given.accumulation, given.steps, given.precision)
    systems = list(SYSTEMS)
    if importlib.util.find_spec("accelerate") is None:
        systems.remove("HF Trainer + DeepSpeed")
    if given.precision == "bf16":
        systems.remove("forge, ZeRO 0")  # takes a wrong first step there
    rates: dict[str, list[float]] = {system: [] for system in systems}
    losses: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for system, measured in rounds_of(plan, given.rounds, systems, Path(folder)):
            step_time_s = statistics.median(measured.step_times_s[WARM_UP_STEPS:])
            rates[system].append(plan.schedule.global_batch_tokens / step_time_s)
            losses[system] = measured.losses[-1]
    limit = statistics.median(rates["bare torch"])
    load = os.getloadavg()[1]
    print(
        f"{plan.model.parameters / 1e6:.1f}M parameters, {given.precision}, {given.processes} processes, "
        f"micro-batch {given.micro_batch} x accumulation {given.accumulation} x {SEQUENCE_LENGTH} tokens, "
        f"{given.rounds} rounds; load {load:.1f} on {os.cpu_count()} cores\n"
    )
    print("| system | tokens/s, median of rounds | each round | of the bare loop | last loss |")
    print("|---|---:|---|---:|---:|")
    for system in systems:
        rate = statistics.median(rates[system])
        each = ", ".join(f"{one:,.0f}" for one in rates[system])
        print(f"| {system} | {rate:,.0f} | {each} | {rate / limit:.2f} | {losses[system]:.3f} |")


if __name__ == "__main__":
    main()
