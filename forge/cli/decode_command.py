"""`forge decode`: documents out of another trainer's token files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from forge.errors import SpecError, StageError


def decode(
    prefix: Annotated[
        Path,
        typer.Argument(
            metavar="PREFIX", help="Path of PREFIX.bin and PREFIX.idx, without either.", show_default=False
        ),
    ],
    tokenizer: Annotated[
        Path,
        typer.Option(
            "--tokenizer",
            metavar="FILE",
            help="The tokenizer.json that the tokens were made with.",
            show_default=False,
        ),
    ],
    to: Annotated[
        Path, typer.Option("--to", metavar="FILE", help="Parquet file to write.", show_default=False)
    ],
) -> None:
    """Turn Megatron-LM's token files into documents: forge decode old/train --tokenizer t.json --to docs/train.parquet

    The folder of the file is a data.path then, and tokenizer.path may name the folder of the same tokenizer. nanotron's
    files, which are in this layout, are read too.
    """
    if to.suffix != ".parquet":
        raise SpecError(f"command line: --to: {to}: does not end in .parquet: name such a file")
    from forge.data.megatron_text import decode_megatron
    from forge.run.display import shown_alone

    with shown_alone("decode") as stage:
        try:
            to.parent.mkdir(parents=True, exist_ok=True)
            found = decode_megatron(prefix, tokenizer, to, stage)
        except OSError as error:
            raise StageError(f"{to}: cannot be written ({error.strerror}): name another file") from None
    print(f"{to}: {found.documents:,} documents of {found.tokens:,} tokens")
    print(f"{found.same:,} of them this tokenizer makes the same tokens of again")
