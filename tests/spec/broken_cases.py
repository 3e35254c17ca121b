"""Reads `broken/*.txt`: specs with a mistake, each with the exact lines a user reads.

### what is wrong
--- recipes/x.yaml
train:
  lerning_rate: 1
--- command line
recipe=x
--- says
recipes/x.yaml:2: train.lerning_rate: no such key. did you mean train.learning_rate?
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent / "broken"


@dataclass
class Case:
    """One broken spec."""

    name: str
    files: dict[str, str] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)
    says: list[str] = field(default_factory=list)


def broken_cases() -> list[Case]:
    """Return every case, those of one file together."""
    return [case for file in sorted(FOLDER.glob("*.txt")) for case in _cases_of(file)]


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
            else:
                case.files[title] = content + "\n"
        cases.append(case)
    return cases
