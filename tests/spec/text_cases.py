"""Reads `broken/*.txt` and `hostile/*.txt`: specs, each with the exact lines a user reads.

    ### what is wrong
    --- recipes/x.yaml
    train:
      lerning_rate: 1
    --- command line
    recipe=x
    --- says
    recipes/x.yaml:2: train.lerning_rate: no such key. did you mean train.learning_rate?

A harmless one has, in place of `says`, `holds`: a line of the composed spec.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Case:
    """One spec that is not as it should be."""

    name: str
    files: dict[str, str | bytes] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)
    says: list[str] = field(default_factory=list)
    holds: str = ""


def cases_in(folder: Path) -> list[Case]:
    """Return every case, those of one file together."""
    return [case for file in sorted(folder.glob("*.txt")) for case in _cases_of(file)]


def _cases_of(file: Path) -> list[Case]:
    cases = []
    for block in file.read_text(encoding="utf-8").split("### ")[1:]:
        name, *parts = block.split("\n--- ")
        case = Case(f"{file.stem}: {name.strip()}")
        for part in parts:
            title, _, content = part.partition("\n")
            if title == "command line":
                case.overrides = content.splitlines()
            elif title == "says":
                case.says = content.strip().splitlines()
            elif title == "holds":
                case.holds = content.strip()
            else:
                case.files[title] = content + "\n"
        cases.append(case)
    return cases
