"""Maximal update parametrization (muP): how first values and learning rates change with width.

Trained so, a narrow model and a wide one have the same best learning rate: it is looked for on the narrow one (Yang et
al. 2022, Tensor Programs V). Forge uses the form of their table 3, in which nothing but first values and learning rates
is scaled: the network computes what every reader of its folder computes, and there is nothing to fold in at an export.

With r = base width / width and s = sqrt(base head_dim / head_dim):

| weights                     | first value | learning rate | in their table 8                           |
|-----------------------------|-------------|---------------|--------------------------------------------|
| embedding, head             | 1           | 1             | 1, 1; the head's output is multiplied by r |
| scale of the final norm     | r           | r             | that multiplier                            |
| queries                     | sqrt(r) s   | r s           | sqrt(r), r; scores are divided by head_dim |
| router                      | r           | r             | an output: 1, 1, multiplied by r           |
| other matrices              | sqrt(r)     | r             | sqrt(r), r                                 |
| biases of queries           | s           | s             | 1, 1                                       |
| other scales and biases     | 1           | 1             | 1, 1                                       |

The forms train alike: Adam's update does not depend on the size of a gradient, so a weight whose first value and
learning rate are multiplied by c moves as one whose output is multiplied by c (their lemma J.1), but for Adam's epsilon
and for the norm that gradients are clipped to. The head's multiplier stands in the scale of the final norm, so that
it is the head's alone where head and embedding are one matrix. Scores are divided by sqrt(head_dim) as ever; s in the
queries makes that sqrt(base head_dim) / head_dim of muP, rotation and all. At the base width everything is 1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from forge.plan.types import ModelPlan, SchedulePlan


class Scale(NamedTuple):
    """What muP multiplies by, of one weight."""

    first_value: float
    learning_rate: float


UNSCALED = Scale(1.0, 1.0)


def scale_of(name: str, dimensions: int, model: ModelPlan, schedule: SchedulePlan) -> Scale:
    """Return the scale of a weight.

    Args:
        name: as transformers names it.
        dimensions: 1 of a vector, more of matrices.
        model: what it is part of.
        schedule: with the base that its learning rate is of.
    """
    if not schedule.mup_base_hidden_size:
        return UNSCALED
    width = schedule.mup_base_hidden_size / model.hidden_size
    head = math.sqrt((schedule.mup_base_head_dim or model.head_dim) / model.head_dim)
    match name.split(".")[-2:]:
        case ["embed_tokens" | "lm_head", _]:
            return UNSCALED
        case ["gate", "weight"]:  # the router
            return Scale(width, width)
        case ["q_proj", "weight"]:
            return Scale(math.sqrt(width) * head, width * head)
        case ["q_proj", "bias"]:
            return Scale(head, head)
    if name.endswith("model.norm.weight"):
        return Scale(width, width)
    return Scale(math.sqrt(width), width) if dimensions > 1 else UNSCALED
