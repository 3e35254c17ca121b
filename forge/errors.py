"""Every error a user can cause, and the exit status it ends with.

The command line prints the lines of a `UserError` and nothing else. Any other exception is a bug in forge
and keeps its traceback.
"""

from __future__ import annotations


class UserError(Exception):
    """A mistake a user can mend. `lines` are `where: what: what to do`, one problem a line."""

    exit_code = 1

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines: tuple[str, ...] = lines


class SpecError(UserError):
    """The spec is wrong: each line names the file and line, or the command line, that said it."""

    exit_code = 2


class FitError(UserError):
    """The plan does not fit the hardware it names, or this machine is not that hardware."""

    exit_code = 3


class StageError(UserError):
    """A stage of a run failed: which one, why, where its log is and how to go on."""

    exit_code = 4


class MachineError(StageError):
    """The machine gave out, not the spec: what the stage has finished is kept, and the same command goes on."""


class Interrupted(UserError):
    """The run was asked to stop and did so with a checkpoint written. `signal_number` names who asked."""

    def __init__(self, signal_number: int, *lines: str) -> None:
        super().__init__(*lines)
        self.exit_code = 128 + signal_number


class PackError(SpecError):
    """A pack is refused: its bytes, its signature, its recipes or where it comes from are not what they have to be."""
