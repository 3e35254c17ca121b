"""Arrow without pandas: it looks for it when it is first given a list, and to load it takes longer than most files.

Standard library only: what shuts pandas out costs nothing where nobody asks.
"""

from __future__ import annotations

import importlib.abc
import sys


class _Shut(importlib.abc.MetaPathFinder):
    """Lets nobody find pandas."""

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        """Refuse to find pandas."""
        if name == "pandas":
            raise ModuleNotFoundError(name)


def shut_out_pandas() -> None:
    """Have this process, one of forge's own workers, do without pandas."""
    sys.meta_path.insert(0, _Shut())
