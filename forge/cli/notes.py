"""What the user should know that is not an error: lines on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable


def show_notes(notes: Iterable[str]) -> None:
    """Print notes, one a line."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
