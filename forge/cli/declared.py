"""The options and arguments of a command, read from its source.

To import a command is to import what it works with, which takes longer than anyone waits for at a Tab.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

COMMANDS_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class DeclaredOption:
    """An option."""

    names: tuple[str, ...]
    metavar: str
    """What its value is called; '' for a flag."""
    help: str


@dataclass(frozen=True, slots=True)
class Declared:
    """What a command takes."""

    summary: str
    """The first sentence of its help."""
    options: tuple[DeclaredOption, ...]
    arguments: tuple[str, ...]
    """What its arguments are called, in order, overrides left out."""


def declared(name: str) -> Declared:
    """Return what the command of `forge.cli.NAME_command` takes."""
    source = (COMMANDS_FOLDER / f"{name}_command.py").read_text(encoding="utf-8")
    function = next(
        node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == name
    )
    options, arguments = [], []
    for parameter in function.args.args:
        if not isinstance(parameter.annotation, ast.Subscript):
            continue  # the context; overrides, which are an alias
        kind, call = _annotated(parameter.annotation)
        said = {word.arg: _text(word.value) for word in call.keywords}
        if _called(call) == "Argument":
            arguments.append(said.get("metavar", parameter.arg.upper()))
            continue
        names = tuple(_text(word) for word in call.args) or (f"--{parameter.arg.replace('_', '-')}",)
        metavar = "" if kind == "bool" else said.get("metavar", parameter.arg.upper())
        options.append(DeclaredOption(names, metavar, said.get("help", "")))
    summary = (ast.get_docstring(function) or "").partition("\n")[0].partition(": forge")[0]
    return Declared(summary, tuple(options), tuple(arguments))


def _annotated(annotation: ast.Subscript) -> tuple[str, ast.Call]:
    """Return T and the call of `Annotated[T, typer.Option(...)]`."""
    assert isinstance(annotation.slice, ast.Tuple)
    kind, call = annotation.slice.elts
    assert isinstance(call, ast.Call)
    return ast.unparse(kind), call


def _called(call: ast.Call) -> str:
    assert isinstance(call.func, ast.Attribute)
    return call.func.attr


def _text(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ""
