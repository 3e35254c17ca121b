"""Where tables are printed: standard output, without spaces at line ends where it is a file or a pipe."""

from __future__ import annotations

import re
import sys
from typing import TextIO, cast

from rich.console import Console

UNBOUNDED = 10_000
"""A width that no table has, for those whose lines are not to be broken."""

_SPACES_AT_LINE_END = re.compile(r" +$", re.MULTILINE)


def make_console() -> Console:
    """Return a console on standard output as it is now."""
    stream = sys.stdout
    return _Console(file=stream if stream.isatty() else cast(TextIO, _Trimmed(stream)), highlight=False)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command line, which ends quietly; rich would exit with status 1."""
        raise BrokenPipeError


class _Trimmed:
    """A text stream; rich fills the cells of a table with spaces, and each of its writes is of whole lines."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = stream.encoding

    def write(self, text: str) -> int:
        return self._stream.write(_SPACES_AT_LINE_END.sub("", text))

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return False
