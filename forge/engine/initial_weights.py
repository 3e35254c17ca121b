"""The weights a training starts from: a function of the seed and of each weight's name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import torch

FirstScale = Callable[[str, int], float]
"""Of a weight's name and number of dimensions: what its first value is multiplied by."""


Part = Callable[[str, torch.Tensor], torch.Tensor]
"""Of a weight's name and first value: what of it is kept."""


def all_of_it(name: str, value: torch.Tensor) -> torch.Tensor:
    """Return `value`."""
    return value


def unscaled(name: str, dimensions: int) -> float:
    """Return 1."""
    return 1.0


def initialize_weights(
    network: torch.nn.Module,
    std: float,
    seed: int,
    scale: FirstScale = unscaled,
    part: Part = all_of_it,
) -> None:
    """Give every parameter of `network`, built on the meta device, its storage on the CPU and its first value.

    Matrices are normal with mean 0 and standard deviation `std`, drawn in fp32 whatever they are kept in (torch draws
    bf16 from 256 uniform values, which leaves out the tails); the scales of norms are 1 and biases 0; all times
    `scale`. Each is drawn from a generator of its own, so no weight depends on how many there are or in which order
    they are made; where only a `part` is kept, it has the values that it has in the whole.
    """
    made: dict[int, torch.nn.Parameter] = {}
    for path, module in network.named_modules():
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            if id(parameter) not in made:  # tied weights are one parameter under two names
                value = part(f"{path}.{name}", _first_value(f"{path}.{name}", parameter, std, seed, scale))
                made[id(parameter)] = torch.nn.Parameter(value, requires_grad=parameter.requires_grad)
            module._parameters[name] = made[id(parameter)]


def _first_value(name: str, like: torch.Tensor, std: float, seed: int, scale: FirstScale) -> torch.Tensor:
    factor = scale(name, like.ndim)
    if name.endswith(".bias"):
        return torch.zeros(like.shape, dtype=like.dtype)
    if like.ndim < 2:
        return torch.full(like.shape, factor, dtype=like.dtype)
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)
    drawn = torch.empty(like.shape, dtype=torch.float32).normal_(0.0, factor * std, generator=generator)
    return drawn.to(like.dtype)
