"""Memory that a row's layout needs, by forge's estimate.

`forge.plan.memory` counts transformers' own modules, which forge trains. Most published runs have modules of their
own that keep less for the backward pass; what they keep is scaled by counts, not fitted.
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks.rows import Row
from forge.plan.efficiency import EAGER_TRANSFORMERS
from forge.plan.hardware import Hardware
from forge.plan.memory import memory_items

OWN_MODULES_SHARE = {"saved activations": 0.70, "logits and loss": 0.35}
"""Of what transformers' modules keep. A Llama-7B layer with one kernel for each norm keeps 32 bytes a token for each
hidden unit, transformers' 45.5 (measured under FakeTensorMode); a fused loss keeps 4 bytes a logit, theirs 12."""


def needed_bytes(row: Row) -> int:
    """Return the memory one device needs for a row."""
    items = memory_items(row.model, row.layout, sharing_hardware(row), row.sequence_length)
    own = row.framework.kernels is not EAGER_TRANSFORMERS
    return sum(round(item.bytes * (OWN_MODULES_SHARE.get(item.name, 1.0) if own else 1.0)) for item in items)


def sharing_hardware(row: Row) -> Hardware:
    """Return the devices that share one copy of the states: all, or one group under hybrid sharding."""
    if row.shard_ranks is None:
        return row.hardware
    a_node = min(row.shard_ranks, row.hardware.devices_per_node)
    return replace(row.hardware, nodes=max(row.shard_ranks // a_node, 1), devices_per_node=a_node)
