"""Source code and markup that is read as it is: each file one document that knows its programming language."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from forge.data.decode import file_text
from forge.data.formats.items import Content, Document, Item

LANGUAGES = {
    **dict.fromkeys(("py", "pyi", "pyx"), "Python"),
    **dict.fromkeys(("js", "mjs", "cjs", "jsx"), "JavaScript"),
    **dict.fromkeys(("ts", "tsx", "mts"), "TypeScript"),
    **dict.fromkeys(("c", "h"), "C"),
    **dict.fromkeys(("cc", "cpp", "cxx", "hh", "hpp", "hxx"), "C++"),
    **dict.fromkeys(("sh", "bash", "zsh", "ksh"), "Shell"),
    **dict.fromkeys(("pl", "pm"), "Perl"),
    **dict.fromkeys(("kt", "kts"), "Kotlin"),
    **dict.fromkeys(("scala", "sbt"), "Scala"),
    **dict.fromkeys(("clj", "cljs", "edn"), "Clojure"),
    **dict.fromkeys(("ex", "exs"), "Elixir"),
    **dict.fromkeys(("ml", "mli"), "OCaml"),
    **dict.fromkeys(("f", "f90", "f95", "for"), "Fortran"),
    **dict.fromkeys(("yaml", "yml"), "YAML"),
    **dict.fromkeys(("ini", "cfg", "conf", "properties"), "INI"),
    **dict.fromkeys(("tex", "sty", "cls", "bib"), "TeX"),
    **dict.fromkeys(("s", "asm"), "Assembly"),
    **dict.fromkeys(("ps1", "psm1"), "PowerShell"),
    **dict.fromkeys(("v", "sv", "svh"), "Verilog"),
    **dict.fromkeys(("xml", "xsd", "xsl", "xslt", "rng"), "XML"),
    **{"cs": "C#", "go": "Go", "rs": "Rust", "rb": "Ruby", "java": "Java", "php": "PHP", "swift": "Swift"},
    **{"m": "Objective-C", "mm": "Objective-C++", "r": "R", "jl": "Julia", "lua": "Lua", "sql": "SQL"},
    **{
        "hs": "Haskell",
        "erl": "Erlang",
        "dart": "Dart",
        "groovy": "Groovy",
        "gradle": "Groovy",
        "zig": "Zig",
    },
    **{"vhd": "VHDL", "cu": "CUDA", "css": "CSS", "scss": "SCSS", "less": "Less", "vue": "Vue", "nim": "Nim"},
    **{"bat": "Batch", "cmd": "Batch", "proto": "Protocol Buffers", "graphql": "GraphQL", "tf": "HCL"},
    **{"toml": "TOML", "cmake": "CMake", "mk": "Make", "el": "Emacs Lisp", "lisp": "Lisp", "scm": "Scheme"},
    **{
        "fs": "F#",
        "vb": "Visual Basic",
        "pas": "Pascal",
        "d": "D",
        "awk": "AWK",
        "tcl": "Tcl",
        "cob": "COBOL",
    },
    **{"cbl": "COBOL", "abap": "ABAP", "sol": "Solidity", "vim": "Vim Script", "dtd": "DTD", "po": "Gettext"},
}
"""By extension."""

NAMES = {
    "makefile": "Make",
    "gnumakefile": "Make",
    "dockerfile": "Dockerfile",
    "containerfile": "Dockerfile",
    "cmakelists.txt": "CMake",
    "jenkinsfile": "Groovy",
    "rakefile": "Ruby",
    "gemfile": "Ruby",
    "vagrantfile": "Ruby",
}
"""By whole name."""


def programming_language(name: str) -> str | None:
    """Return the language that the name of a file says it is in."""
    path = PurePosixPath(name.lower())
    return NAMES.get(path.name) or LANGUAGES.get(path.suffix[1:])


def read_code(content: Content) -> Iterator[Item]:
    """Read source code."""
    text, metadata = file_text(content.read())
    language = programming_language(content.name) or ""
    mime = "text/x-" + language.lower().replace(" ", "-").replace("+", "plus").replace("#", "sharp")
    metadata["programming_language"] = language
    yield Document(0, text, mime, PurePosixPath(content.name).name, metadata=metadata)
