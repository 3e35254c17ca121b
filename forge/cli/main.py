"""The entry points `forge` and `forge-run`: the table of commands, and the one that is asked for."""

from __future__ import annotations

import sys
from typing import Any

TAKES_OVERRIDES = {"allow_extra_args": True, "ignore_unknown_options": True}

COMMANDS: dict[str, dict[str, Any]] = {
    # name: settings; the function is `NAME` in `forge.cli.NAME_command`
    "run": TAKES_OVERRIDES,
    "plan": TAKES_OVERRIDES,
    "audit": {},
    "decode": {},
    "export": {},
    "evaluate": {},
    "compare": {},
    "report": {},
    "track": {},
    "doctor": {},
    "completion": {},
}

GROUPS: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {
    # name: (help, commands as above); the function is `GROUP_NAME` in `forge.cli.GROUP_NAME_command`
    "recipe": (
        "Recipes: what there is, what one says, how two differ; begin one.",
        {
            "list": {},
            "pack": {},
            "verify": {},
            "install": {},
            "remove": {},
            "packs": {},
            "lock": {},
            "show": TAKES_OVERRIDES,
            "diff": TAKES_OVERRIDES,
            "new": {},
        },
    ),
}


COMPLETE = "__complete"
"""What shells call `forge` with, and the line typed so far, to ask what may come next."""


def main() -> None:
    """Run `forge` on the command line of this process."""
    arguments = sys.argv[1:]
    if arguments[:1] == [COMPLETE]:
        # Shells ask at every Tab: what runs commands is not imported for an answer.
        from forge.cli.completion import answer

        sys.exit(answer(arguments[1:]))
    from forge.cli.program import run_forge

    sys.exit(run_forge(arguments))


def run_main() -> None:
    """Run `forge-run` on the command line of this process: the same as `forge run`."""
    from forge.cli.program import run_forge_run

    sys.exit(run_forge_run(sys.argv[1:]))


if __name__ == "__main__":
    main()
