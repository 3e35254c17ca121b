"""`forge recipe lock`: pin the packs of a project."""

from __future__ import annotations

from pathlib import Path

from forge.recipes.install import lock_packs
from forge.spec.packs import LOCK


def recipe_lock() -> None:
    """Pin the installed packs in forge.lock, in this folder; whatever differs from it is refused here then."""
    for pack in lock_packs(Path.cwd()):
        print(f"{pack.use.name} {pack.use.version}  sha256 {pack.use.sha256}")
    print(f"written to {LOCK}")
