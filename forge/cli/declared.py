"""The options and arguments of a command, read from its source.

To import a command is to import what it works with, which takes longer than anyone waits for at a Tab.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

COMMANDS_FOLDER = Path(__file__).parent
OVERRIDES = "Overrides"
"""What `forge.cli.options` calls the words that are no options."""


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
    module = _module(f"{name}_command")
    function = next(node for node in module.body if isinstance(node, ast.FunctionDef) and node.name == name)
    shared = _shared(module)
    options, arguments = [], []
    for parameter in function.args.args:
        annotation = parameter.annotation
        if isinstance(annotation, ast.Name) and annotation.id != OVERRIDES:
            annotation = shared.get(annotation.id)
        if not isinstance(annotation, ast.Subscript):
            continue  # the context, overrides
        kind, call = _annotated(annotation)
        said = {word.arg: _text(word.value) for word in call.keywords}
        if _called(call) == "Argument":
            arguments.append(said.get("metavar", parameter.arg.upper()))
            continue
        names = tuple(_text(word) for word in call.args) or (f"--{parameter.arg.replace('_', '-')}",)
        metavar = "" if kind == "bool" else said.get("metavar", parameter.arg.upper())
        options.append(DeclaredOption(names, metavar, said.get("help", "")))
    summary = (ast.get_docstring(function) or "").partition("\n")[0].partition(": forge")[0]
    return Declared(summary, tuple(options), tuple(arguments))


def _module(name: str) -> ast.Module:
    return ast.parse((COMMANDS_FOLDER / f"{name}.py").read_text(encoding="utf-8"))


def _shared(module: ast.Module) -> dict[str, ast.expr]:
    """Return the options that a module names for several commands, its own and those of commands it imports from."""
    found: dict[str, ast.expr] = {}
    for node in module.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").endswith("_command"):
            others = _shared(_module((node.module or "").rpartition(".")[2]))
            found |= {alias.name: others[alias.name] for alias in node.names if alias.name in others}
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript):
            found |= {target.id: node.value for target in node.targets if isinstance(target, ast.Name)}
    return found


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
