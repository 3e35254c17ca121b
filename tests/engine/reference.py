"""The same training in plain torch: no DeepSpeed, no sharding, no accumulation."""

from __future__ import annotations

from pathlib import Path

import torch

from forge.data.loading import TokenShard, batch_sequence_indices, load_batch, sequence_count
from forge.engine.model import build_model
from forge.engine.schedule import learning_rate
from forge.plan.types import Plan
from tests.factories import BOS_ID, EOS_ID


def reference_losses(plan: Plan, tokens: Path) -> list[float]:
    """Return the loss of each step, with fp32 master weights and Adam moments, computing in the plan's precision."""
    schedule = plan.schedule
    compute = torch.bfloat16 if plan.layout.precision == "bf16" else torch.float32
    network = build_model(plan.model, plan.seed).to(compute)
    network.set_attn_implementation("sdpa")
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    masters = [weight.detach().float().clone().requires_grad_() for weight in weights]
    optimizer = torch.optim.AdamW(
        [
            {"params": [m for m in masters if m.ndim >= 2], "weight_decay": schedule.weight_decay},
            {"params": [m for m in masters if m.ndim < 2], "weight_decay": 0.0},
        ],
        betas=(schedule.adam_beta1, schedule.adam_beta2),
        eps=schedule.adam_epsilon,
    )
    shard = TokenShard.open(tokens, "train")
    length = schedule.sequence_length
    result = []
    for step in range(schedule.steps):
        indices = batch_sequence_indices(
            step, schedule.global_batch_sequences, sequence_count(len(shard), length), plan.seed
        )
        inputs, targets = (torch.from_numpy(array) for array in load_batch(shard, indices, length))
        # transformers makes a mask of its own of positions that start again.
        logits = (
            network(input_ids=inputs, position_ids=_positions(inputs), use_cache=False)
            .logits.flatten(0, 1)
            .float()
        )
        loss = torch.nn.functional.cross_entropy(logits, targets.flatten())
        network.zero_grad()
        torch.autograd.backward(loss)
        for master, weight in zip(masters, weights, strict=True):
            assert weight.grad is not None
            master.grad = weight.grad.float()
        torch.nn.utils.clip_grad_norm_(masters, schedule.gradient_clip)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, schedule)
        optimizer.step()
        with torch.no_grad():
            for master, weight in zip(masters, weights, strict=True):
                weight.copy_(master)
        result.append(float(loss.detach()))
    return result


def _positions(inputs: torch.Tensor) -> torch.Tensor:
    rows = []
    for row in inputs.tolist():
        places: list[int] = []
        for before, token in zip([EOS_ID, *row], row, strict=False):
            places.append(0 if token == BOS_ID or before == EOS_ID else places[-1] + 1)
        rows.append(places)
    return torch.tensor(rows)
