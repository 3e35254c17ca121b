"""Where forge's own data folders are: inside the wheel, or beside the package in a checkout."""

from __future__ import annotations

from pathlib import Path

PACKAGE_DIR = Path(__file__).resolve().parent


def data_dir(name: str) -> Path:
    """Return the folder `name` ('conf', 'schemas' or 'recipes') that forge ships.

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    for candidate in (PACKAGE_DIR / "_data" / name, PACKAGE_DIR.parent / name):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"forge's folder {name}/ is missing beside {PACKAGE_DIR}: install forge again")
