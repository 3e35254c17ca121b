"""`forge recipe install`: verify a pack and put it where recipes are looked up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from forge.cli.notes import show_notes
from forge.cli.pack_view import show_pack
from forge.cli.recipe_verify_command import AllowedSigners, AllowUnsigned, Fingerprint, trust_of
from forge.recipes.install import install_pack
from forge.recipes.sources import fetch
from forge.recipes.verify import verify_pack


def recipe_install(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A file, https://..., or git+URL@COMMIT[#PATH].")
    ],
    sha256: Annotated[
        str | None,
        typer.Option("--sha256", metavar="HASH", help="What the pack must have; https needs it."),
    ] = None,
    allowed_signers: AllowedSigners = None,
    fingerprint: Fingerprint = "",
    allow_unsigned: AllowUnsigned = False,
) -> None:
    """Verify and install a pack: forge recipe install acme-1.2.0.forge"""
    fetched = fetch(source, sha256)
    trust = trust_of(allowed_signers, fingerprint, allow_unsigned)
    pack = verify_pack(fetched.content, fetched.where, trust, fetched.file_name)
    _, notes = install_pack(pack, Path.cwd(), fingerprint)
    show_notes(notes)
    show_pack(pack)
    print(f"use it: forge plan +recipe={pack.recipes[0]}")
