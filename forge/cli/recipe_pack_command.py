"""`forge recipe pack`: a folder of recipes into one signed file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from forge.cli.notes import show_notes
from forge.cli.pack_view import show_pack
from forge.errors import PackError
from forge.files import replace_bytes
from forge.recipes.pack import make_pack
from forge.spec.packs import pack_file_name


def recipe_pack(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="With recipes/*.yaml and perhaps conf/GROUP/*.yaml.")
    ],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Its recipes are +recipe=NAME/RECIPE.")],
    version: Annotated[str, typer.Option("--version", metavar="VERSION", help="Three numbers: 1.2.0.")],
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="FILE", help="Your SSH key, which signs it: ~/.ssh/id_ed25519."),
    ] = None,
    evidence: Annotated[
        list[Path] | None,
        typer.Option("--evidence", metavar="RUN", help="A finished run, whose measurements it carries."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where it is written; else NAME-VERSION.forge."),
    ] = None,
) -> None:
    """Make a pack: forge recipe pack my_recipes --name acme --version 1.2.0 --key ~/.ssh/id_ed25519"""
    key = key.expanduser() if key else None
    content, pack, notes = make_pack(folder, name, version, key, evidence or [])
    show_notes(notes)
    output = output or Path(pack_file_name(name, version))
    try:
        if output.exists() and output.read_bytes() != content:
            raise PackError(f"{output}: is there with other content: give another version, or remove it")
        replace_bytes(output, content)
    except OSError as error:
        raise PackError(
            f"{output}: cannot be written ({error.strerror}): name another file with -o"
        ) from None
    show_pack(pack)
    print(f"written to {output}")
