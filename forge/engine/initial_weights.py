"""The weights a training starts from: a function of the seed and of each weight's name."""

from __future__ import annotations

import hashlib

import torch


def initialize_weights(network: torch.nn.Module, std: float, seed: int) -> None:
    """Give every parameter of `network`, built on the meta device, its storage on the CPU and its first value.

    Matrices are normal with mean 0 and standard deviation `std`, drawn in fp32 whatever they are kept in (torch draws
    bf16 from 256 uniform values, which leaves out the tails); the scales of norms are 1 and biases 0. Each is
    drawn from a generator of its own, so no weight depends on how many there are or in which order they are made.
    """
    made: dict[int, torch.nn.Parameter] = {}
    for path, module in network.named_modules():
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            if id(parameter) not in made:  # tied weights are one parameter under two names
                value = _first_value(f"{path}.{name}", parameter, std, seed)
                made[id(parameter)] = torch.nn.Parameter(value, requires_grad=parameter.requires_grad)
            module._parameters[name] = made[id(parameter)]


def _first_value(name: str, like: torch.Tensor, std: float, seed: int) -> torch.Tensor:
    if name.endswith(".bias"):
        return torch.zeros(like.shape, dtype=like.dtype)
    if like.ndim < 2:
        return torch.ones(like.shape, dtype=like.dtype)
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)
    return torch.empty(like.shape, dtype=torch.float32).normal_(0.0, std, generator=generator).to(like.dtype)
