"""Forge: a declarative compiler and runner for training language models on your own hardware."""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it as true; typing would be nearly all that `import forge` costs
if TYPE_CHECKING:
    from forge.api import Plan, Run, Spec, compile_plan, compose, load_run, run_plan

__version__ = "0.1.0"
__all__ = ["Plan", "Run", "Spec", "compile_plan", "compose", "load_run", "run_plan"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'forge' has no attribute {name!r}")
    from forge import api

    value: object = getattr(api, name)
    return value
