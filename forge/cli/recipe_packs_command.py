"""`forge recipe packs`: the packs that are installed, who signed each, what it brings."""

from __future__ import annotations

from forge.cli.pack_view import show_installed
from forge.spec.packs import installed_packs


def recipe_packs() -> None:
    """Say which packs are installed."""
    show_installed(installed_packs())
