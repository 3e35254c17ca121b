"""`forge recipe verify`: whether a pack is what it says, and whose."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from forge.cli.pack_view import show_evidence, show_pack
from forge.recipes.sources import fetch_file
from forge.recipes.verify import Trust, default_allowed_signers, verify_pack

AllowedSigners = Annotated[
    Path | None,
    typer.Option(
        "--allowed-signers",
        metavar="FILE",
        help="Keys you know, in the form of ssh-keygen; else ~/.config/forge/allowed_signers.",
    ),
]
Fingerprint = Annotated[
    str, typer.Option("--trust", metavar="FINGERPRINT", help="Take this pack if this key signed it.")
]
AllowUnsigned = Annotated[bool, typer.Option("--allow-unsigned", help="Take a pack that nobody has signed.")]


def trust_of(allowed_signers: Path | None, fingerprint: str, allow_unsigned: bool) -> Trust:
    """Return whom the options of a command line trust."""
    return Trust(allowed_signers or default_allowed_signers(), fingerprint, allow_unsigned)


def recipe_verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A pack.")],
    allowed_signers: AllowedSigners = None,
    fingerprint: Fingerprint = "",
    allow_unsigned: AllowUnsigned = False,
) -> None:
    """Verify a pack, install nothing: forge recipe verify acme-1.2.0.forge"""
    fetched = fetch_file(str(file))
    trust = trust_of(allowed_signers, fingerprint, allow_unsigned)
    pack = verify_pack(fetched.content, fetched.where, trust, fetched.file_name)
    show_pack(pack)
    show_evidence(pack.evidence)
