"""One wrong thing in a spec, as the line a user reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from forge.errors import SpecError
from forge.spec.text import printable

COMMAND_LINE = "command line"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """`where[:line]: message`, ordered by place."""

    where: str
    line: int
    """0 where there is no line."""
    message: str

    def __str__(self) -> str:
        place = f"{self.where}:{self.line}" if self.line else self.where
        return printable(f"{place}: {self.message}")


def problem_at(where: str, message: str) -> Problem:
    """Return the problem at a place written as `file:line` or `command line`."""
    file, separator, line = where.rpartition(":")
    if separator and line.isdigit():
        return Problem(file, int(line), message)
    return Problem(where, 0, message)


def raise_problems(problems: Iterable[Problem]) -> None:
    """Raise one SpecError with every distinct problem, sorted by place; return where there is none."""
    lines = [str(problem) for problem in sorted(set(problems))]
    if lines:
        raise SpecError(*lines)
