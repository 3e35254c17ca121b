from __future__ import annotations

import cProfile
import pstats

import pytest
import torch

from benchmarks.training_profile import REST, kind_of


@pytest.mark.parametrize(
    ("work", "kind"),
    [
        (lambda weight: weight.square().sum().backward(), "forward and backward pass"),
        (lambda weight: torch.zeros(4).copy_(weight), "copies of gradients"),
        (lambda weight: torch.ones(4).div_(2), "scaling and clipping"),
        (lambda weight: torch._foreach_norm([weight]), "norm, and whether it is finite"),
        (lambda weight: weight.view(2, 2), REST),
    ],
)
def test_what_torch_calls_a_function_says_what_it_is_for(work: object, kind: str) -> None:
    weight = torch.ones(4, requires_grad=True)
    profile = cProfile.Profile()
    with torch.set_grad_enabled(kind.startswith("forward")):
        profile.runcall(work, weight)  # type: ignore[arg-type]
    names = [name for _, _, name in pstats.Stats(profile).stats]  # type: ignore[attr-defined]
    found = {kind_of(name) for name in names if "torch" in name or "Tensor" in name}
    assert kind in found
    assert found <= {kind, REST}
