"""How rows of cells become text: a line a row, a tab between cells."""

from __future__ import annotations

import re

SPACES = re.compile(r"\s+")
MAX_GAP_CELLS = 64
"""Empty cells kept between two filled ones: a cell may stand in column 16,384."""


def row_text(cells: dict[int, str]) -> str:
    """Return the line of a row, given its filled cells by column from 0; '' where none is filled."""
    line: list[str] = []
    last = -1
    for column in sorted(cells):
        cell = SPACES.sub(" ", cells[column]).strip()
        if cell:
            line.append(
                "\t" * min(column - last, MAX_GAP_CELLS) if line else "\t" * min(column, MAX_GAP_CELLS)
            )
            line.append(cell)
            last = column
    return "".join(line)
