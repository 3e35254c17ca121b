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
    names = [name for name, weight in network.named_parameters() if weight.requires_grad]
    by_muon = {
        name: master
        for name, master in zip(names, masters, strict=True)
        if schedule.optimizer == "muon" and master.ndim == 2 and "layers" in name
    }
    momenta = {name: torch.zeros_like(master, dtype=compute) for name, master in by_muon.items()}
    adam = [master for name, master in zip(names, masters, strict=True) if name not in by_muon]
    optimizer = torch.optim.AdamW(
        [
            {"params": [m for m in adam if m.ndim >= 2], "weight_decay": schedule.weight_decay},
            {"params": [m for m in adam if m.ndim < 2], "weight_decay": 0.0},
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
        if schedule.gradient_clip:
            torch.nn.utils.clip_grad_norm_(masters, schedule.gradient_clip)
        rate = learning_rate(step, schedule)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        muon_rate = rate * schedule.muon_learning_rate / schedule.learning_rate
        for name, master in by_muon.items():
            assert master.grad is not None
            gradient = master.grad.to(compute)
            momenta[name].lerp_(gradient, 1 - schedule.muon_momentum)
            ahead = gradient.lerp(momenta[name], schedule.muon_momentum)
            with torch.no_grad():
                master.mul_(1 - muon_rate * schedule.weight_decay)
                master.sub_(muon_rate * _orthogonalized(ahead))
        with torch.no_grad():
            for master, weight in zip(masters, weights, strict=True):
                weight.copy_(master)
        result.append(float(loss.detach()))
    return result


def _orthogonalized(matrix: torch.Tensor) -> torch.Tensor:
    """Return five Newton-Schulz steps of `matrix`, times sqrt(max(1, rows / columns)) (Jordan 2024)."""
    rows, columns = matrix.shape
    x = matrix.float() / (matrix.float().norm() + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    scaled: torch.Tensor = x * max(1.0, rows / columns) ** 0.5
    return scaled


def _positions(inputs: torch.Tensor) -> torch.Tensor:
    rows = []
    for row in inputs.tolist():
        places: list[int] = []
        for before, token in zip([EOS_ID, *row], row, strict=False):
            places.append(0 if token == BOS_ID or before == EOS_ID else places[-1] + 1)
        rows.append(places)
    return torch.tensor(rows)
