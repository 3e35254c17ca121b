"""Arrow without pandas: it looks for it when it is first given a list, and to load it takes longer than most files.

Standard library only: what hides pandas costs nothing where nobody asks.
"""

from __future__ import annotations

import importlib.abc
import sys

ARROW_SPEAKS_FOR = ("forge.", "benchmarks.", "pyarrow.", "__main__")
"""Who calls Arrow, which leaves no frame of its own; forge itself never asks for pandas."""


class _Hidden(importlib.abc.MetaPathFinder):
    """Lets Arrow find no pandas."""

    def __init__(self, from_all: bool) -> None:
        self._from_all = from_all

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        """Refuse to find pandas."""
        if name == "pandas" and (self._from_all or _asker().startswith(ARROW_SPEAKS_FOR)):
            raise ModuleNotFoundError(name)


def _asker() -> str:
    frame = sys._getframe(2)
    while frame.f_back is not None and "importlib" in frame.f_code.co_filename:
        frame = frame.f_back
    return f"{frame.f_globals.get('__name__', '')}."


def shut_out_pandas() -> None:
    """Have this process do without pandas."""
    sys.meta_path.insert(0, _Hidden(from_all=True))


def hide_pandas_from_arrow() -> None:
    """Have Arrow do without pandas in this process; whatever else imports it finds it."""
    sys.meta_path.insert(0, _Hidden(from_all=False))
