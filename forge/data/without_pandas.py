"""Arrow without pandas: it looks for it when it is first given a list, and to load it takes longer than most files.

Standard library only, but for Arrow itself: what shuts pandas out costs nothing where nobody asks.
"""

from __future__ import annotations

import sys


class _Shut:
    """Lets nobody find pandas."""

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        """Refuse to find pandas."""
        if name == "pandas":
            raise ModuleNotFoundError(name)


def load_arrow() -> None:
    """Load Arrow, and have it look for pandas while there is none to be found: it looks once.

    In a process that others share: pandas can be imported as before, and Arrow makes its tables where it is asked to.
    """
    shut = _Shut()
    sys.meta_path.insert(0, shut)
    try:
        import pyarrow as pa

        pa.array([0])
    finally:
        sys.meta_path.remove(shut)


def shut_out_pandas() -> None:
    """Have this process, one of forge's own workers, do without pandas."""
    sys.meta_path.insert(0, _Shut())
