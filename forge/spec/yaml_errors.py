"""What a YAML parser means, in the words of someone who mends the file."""

from __future__ import annotations

import re

import yaml

from forge.spec.text import printable

_ALIGNED = "is indented otherwise than the lines above it: align it with its neighbours"

# (the parser's problem, told by this pattern; whether the mistake stands where the parser began to read; what to say)
_SAYINGS: tuple[tuple[str, bool, str], ...] = (
    (r"found character '\\t'", False, "is indented with a tab: use spaces"),
    (r"found character '(.)' that cannot start", False, "a value cannot start with {0}: put it in quotes"),
    (r"found unexpected end of stream", True, "a quote is opened here and not closed"),
    (r"expected ',' or '(.)'", True, "what is opened here is not closed: a , or the {0} is missing"),
    (
        r"mapping values are not allowed",
        False,
        "a second `: ` or a wrong indent: quote the value or align the key",
    ),
    (r"could not find expected ':'", True, "is no `key: value` line"),
    (
        r"expected <block end>, but found '<scalar>'",
        False,
        "text follows a closing quote: use one pair of quotes",
    ),
    (r"expected <block end>, but found '([\]}])'", False, "{0} closes what was not opened"),
    (r"expected <block end>, but found '<block", False, _ALIGNED),
    (r"expected <block end>, but found ':'", False, "a key is missing before the :"),
    (r"expected <block end>, but found '[?]'", False, _ALIGNED),
    (
        r"sequence entries are not allowed here",
        False,
        "a list item stands beside its key: begin a line with `- `",
    ),
    (
        r"found unknown escape character '(.)'",
        False,
        r"\{0} is no escape: write text with \ in single quotes",
    ),
    (
        r"expected alphabetic or numeric character",
        False,
        "* and & have a meaning in YAML: put the value in quotes",
    ),
    (r"expected chomping", False, "| and > have a meaning in YAML: put the value in quotes"),
    (r"found incompatible YAML document", False, "%YAML names a version that is not read: drop the line"),
    (r"expected '<document start>'", False, "a line of % or ... stands before this: drop that line"),
    (r"found undefined tag handle", False, "tags are not allowed: write plain values"),
)


def yaml_problem(error: yaml.MarkedYAMLError) -> tuple[int, str]:
    """Return the line of a parser's error and what is wrong there."""
    problem = error.problem or error.context or "cannot be read"
    for pattern, at_start, saying in _SAYINGS:
        match = re.search(pattern, problem)
        if match:
            mark = (error.context_mark if at_start else None) or error.problem_mark
            return _line(mark), saying.format(*map(printable, match.groups()))
    return _line(error.problem_mark or error.context_mark), f"is not YAML: {printable(problem)}"


def _line(mark: yaml.Mark | None) -> int:
    return mark.line + 1 if mark else 1
