"""Recipes that try to run code, read or write what is not theirs, or use up the machine; and what forge says.

Most are in `hostile/*.txt`, in the form of the broken specs; here are those that need more than text.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.spec.text_cases import Case, cases_in

SECRET = "canary-7f3a9c1e"
"""The value of an environment variable and of a file outside the working folder: it may appear nowhere."""

FOLDER = Path(__file__).parent / "hostile"
LINK = "is a link that leaves its folder: put the file itself there"
TWICE = "is extended twice, so its values would undo others: extend it once"
NOT_THERE = "command line: recipe=x: there is no recipe 'x'. there are: {recipes}"
MANY_RECIPES = {"recipes/x.yaml": "defaults:\n  - r0\n"} | {
    f"recipes/r{number}.yaml": f"defaults:\n  - r{number + 1}\n" for number in range(1000)
}


def hostile_cases() -> list[Case]:
    """Return every attack."""
    return [*cases_in(FOLDER), *_BUILT]


def prepare(case: Case, folder: Path) -> None:
    """Write the files of an attack, and make the links and pipes that are not files."""
    for name, content in case.files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    recipes = folder / "recipes"
    recipes.mkdir(parents=True, exist_ok=True)
    if case.name == "a recipe that is a link":
        (recipes / "x.yaml").symlink_to(folder.parent / "secret.yaml")
    elif case.name == "a folder that is a link":
        (recipes / "inner").symlink_to(folder.parent)
    elif case.name == "a link in a circle":
        (recipes / "x.yaml").symlink_to("x.yaml")
    elif case.name == "a pipe that is never written to":
        os.mkfifo(recipes / "x.yaml")
    elif case.name == "a folder named like a recipe":
        (recipes / "x.yaml").mkdir()


def _recipe(name: str, content: str | bytes, *says: str) -> Case:
    return Case(name, {"recipes/x.yaml": content}, ["recipe=x"], [f"recipes/x.yaml:{line}" for line in says])


def _doubling(depth: int) -> Case:
    """Return recipes of which each extends the two of the next level: 2 to the power of `depth` merges."""
    files: dict[str, str | bytes] = {"recipes/x.yaml": "defaults:\n  - a0\n  - b0\n"}
    for level in range(depth):
        for side in "ab":
            files[f"recipes/{side}{level}.yaml"] = f"defaults:\n  - a{level + 1}\n  - b{level + 1}\n"
    files |= {f"recipes/{side}{depth}.yaml": "seed: 1\n" for side in "ab"}
    says = [
        f"recipes/b{level}.yaml:{line}: {side}{level + 1} {TWICE}"
        for level in sorted(range(depth), key=str)
        for line, side in ((2, "a"), (3, "b"))
    ]
    return Case("recipes that double at each level", files, ["recipe=x"], says)


_BUILT = [
    Case("a recipe that is a link", {}, ["recipe=x"], [f"recipes/x.yaml:1: {LINK}"]),
    Case("a folder that is a link", {}, ["recipe=inner/secret"], [f"recipes/inner/secret.yaml:1: {LINK}"]),
    Case("a link in a circle", {}, ["recipe=x"], [NOT_THERE]),
    Case("a pipe that is never written to", {}, ["recipe=x"], [NOT_THERE]),
    Case("a folder named like a recipe", {}, ["recipe=x"], [NOT_THERE]),
    _recipe("a null byte", b"name: a\x00b\n", "1: holds a character that YAML does not allow: remove it"),
    _recipe("bytes that are no text", b"name: x\nseed: \xff\n", "2: is not UTF-8 text: save it as UTF-8"),
    _recipe("text in UTF-16", "name: x\n".encode("utf-16"), "1: is not UTF-8 text: save it as UTF-8"),
    _recipe(
        "a huge file",
        "# " + "x" * 10_000_000 + "\n",
        "1: is larger than 64 KiB: a spec file is a few lines",
    ),
    _recipe(
        "a file of many values",
        "data:\n  metadata_allow:\n    category: [" + "x," * 20_000 + "x]\n",
        "3: holds more than 5000 values: a spec file is a few lines",
    ),
    _recipe(
        "deep brackets", "name: " + "[" * 60_000 + "\n", "1: is nested deeper than 8 levels: a spec is flat"
    ),
    _recipe(
        "deep lines",
        "data:\n metadata_allow:\n" + "".join(" " * depth + "a:\n" for depth in range(2, 300)),
        "9: is nested deeper than 8 levels: a spec is flat",
    ),
    _recipe("a number of many digits", "seed: " + "9" * 60_000 + "\n", "1: seed: inf is not a finite number"),
    _recipe(
        "a bomb of references",
        "name: ${export.dtype}${export.dtype}\n"
        "export:\n  dtype: ${train.precision}${train.precision}\n"
        "train:\n  precision: " + "${data.path}" * 500 + "\n"
        "data:\n  path: " + "x" * 5000 + "\n",
        "1: name: its references expand to more than 20000 characters",
        "3: export.dtype: its references expand to more than 20000 characters",
        "5: train.precision: its references expand to more than 20000 characters",
    ),
    _recipe(
        "a reference without end",
        "name: ${" + "a." * 30_000 + "a}\n",
        "1: name: ${" + "a." * 28 + "a...}: no such key: a key is GROUP.KEY, and the groups are data, "
        "tokenizer, model, hardware, train, engine, evaluate, export, sweep, launch",
    ),
    _doubling(14),
    Case(
        "a chain of a thousand recipes",
        dict(MANY_RECIPES),
        ["recipe=x"],
        ["recipes/r14.yaml:2: extends more than 16 deep: put what is shared into one"],
    ),
]
