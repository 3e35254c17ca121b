"""Forge: a declarative compiler and runner for training language models on your own hardware."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forge.api import Plan, Run, Spec, compile_plan, compose, load_run, run_plan

__version__ = "0.1.0"
__all__ = ["Plan", "Run", "Spec", "compile_plan", "compose", "load_run", "run_plan"]


def __getattr__(name: str) -> Any:
    # Imported when asked for: `import forge` itself costs next to nothing.
    if name not in __all__:
        raise AttributeError(f"module 'forge' has no attribute {name!r}")
    from forge import api

    return getattr(api, name)
