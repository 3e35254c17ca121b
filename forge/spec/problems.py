"""One wrong thing in a spec, as the line a user reads."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from forge.errors import SpecError
from forge.spec.safe_yaml import printable

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
        return f"{place}: {printable(self.message)}"


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


def did_you_mean(word: str, candidates: Iterable[str], also_called: dict[str, str] | None = None) -> str:
    """Return ` did you mean X?`, or '' where nothing is near.

    Args:
        word: what was written.
        candidates: what may be written.
        also_called: other common names of candidates, for people who come from other tools.
    """
    known = list(candidates)
    if also_called and word.lower() in also_called:
        return f" did you mean {also_called[word.lower()]}?"
    lowered = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(word.lower(), list(lowered), n=1, cutoff=0.6)
    return f" did you mean {lowered[near[0]]}?" if near else ""
