"""What `import forge` offers: compose a spec, compile a plan, carry it out, load a run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from forge.cli.compiling import compile_spec, source_hashes
from forge.cli.reviewed import ready_plan
from forge.plan.machine import probe_machine
from forge.plan.types import Plan
from forge.run.display import make_display
from forge.run.load import Run, load_run
from forge.spec.compose import compose_spec
from forge.spec.types import Spec

__all__ = ["Plan", "Run", "Spec", "compile_plan", "compose", "load_run", "run_plan"]


def compose(*overrides: str) -> Spec:
    """Return the spec of some overrides: `compose("recipe=legal_tiny", "data.path=/my/folder")`.

    Raises:
        forge.errors.SpecError: with a line for every mistake, at the place that made it.
    """
    return compose_spec(overrides)


def compile_plan(spec: Spec) -> Plan:
    """Return the plan of a spec: layout, schedule, stages, and what memory, time and money they take.

    Where documents are not at hand, the plan counts on `data.assumed_tokens`; it can be looked at, not carried out.

    Raises:
        forge.errors.SpecError: what was asked for can't be planned.
        forge.errors.FitError: nothing fits the hardware; with the smallest changes that would.
    """
    return compile_spec(spec, probe_machine(), needs_data=False).plan


def run_plan(plan: Plan, output_dir: str | os.PathLike[str] = ".", quiet: bool = True) -> Run:
    """Carry out a plan, going on where an earlier call stopped; one that is done is loaded.

    Args:
        plan: what to do; `forge.plan.types.load_plan` reads one from a file.
        output_dir: where runs/ and artifacts/ are kept.
        quiet: show no progress on standard error.

    Raises:
        forge.errors.SpecError: its documents are not there.
        forge.errors.FitError: documents, code or hardware are not those of the plan.
        forge.errors.StageError: a stage failed: which one, its log and how to go on.
    """
    from forge.run import run

    ready, _ = ready_plan(plan, f"plan {plan.id}", accepts_drift=False)
    done = run.run_plan(ready, Path(output_dir), make_display(sys.stderr, quiet), source_hashes())
    return load_run(done.folder)
