"""What makes a training the same training, whatever it is carried out on."""

from __future__ import annotations

from dataclasses import asdict

from forge.plan.types import PLAN_ID_HEX_DIGITS, Plan, content_hash

_WATCHING = (
    "log_every_steps",
    "checkpoint_every_steps",
    "keep_checkpoints",
    "keep_every_steps",
    "evaluate_every_steps",
    "evaluate_tokens",
)
"""Of the schedule: how a training is followed, not what it does."""


def training_id(plan: Plan) -> str:
    """Return the hash of all that decides which tokens a step sees and what it makes of them, up to rounding.

    That is the model, the weights it starts from, the schedule, the seed, the precision and the tokens. World size,
    ZeRO stage, micro-batch, accumulation, offloading and recomputation are not in it: a checkpoint loads under any of
    them.
    """
    schedule = {key: value for key, value in asdict(plan.schedule).items() if key not in _WATCHING}
    content = {
        "model": asdict(plan.model),
        "schedule": schedule,
        "seed": plan.seed,
        "initial_weights": [source.sha256 for source in plan.initial_weights],
        "precision": plan.layout.precision,
        "optimizer_states": plan.layout.optimizer_states,
        "attention": "within documents",  # checkpoints of engines that let it leave them are of another training
        "tokens": plan.stage("tokens").key,
    }
    return content_hash(content)[:PLAN_ID_HEX_DIGITS]
