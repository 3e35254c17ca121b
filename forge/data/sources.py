"""Where documents come from: a folder, a file, data inside an installed package, or an address elsewhere.

Standard library only, but for addresses.
"""

from __future__ import annotations

import importlib.util
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from forge.data.listing import Listing, SourceFile, list_folder
from forge.data.remote import fetch, is_address, list_remote
from forge.errors import StageError

PACKAGE_PREFIX = "package:"

DISTRIBUTIONS = {"licensedcode": "licensedcode-data"}
"""What to `pip install` where it is not called what it brings."""


def resolve_source(source: str) -> Path:
    """Return the folder or file that `source` names: a path, or `package:NAME/inner/path`.

    A package is located, never imported.

    Raises:
        StageError: it is not there, or not of this form.
    """
    if not source.startswith(PACKAGE_PREFIX):
        path = Path(source).expanduser()
        if not path.exists():
            raise StageError(f"{source}: does not exist: set data.path to a folder or file of documents")
        return path
    name, _, inner = source.removeprefix(PACKAGE_PREFIX).partition("/")
    if not name.isidentifier() or ".." in PurePosixPath(inner).parts or inner.startswith("/"):
        raise StageError(
            f"{source}: not of the form package:NAME/inner/path: NAME has no dots, the path no '..'"
        )
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise StageError(
            f"{source}: package {name} is not installed: `pip install {DISTRIBUTIONS.get(name, name)}`"
        )
    for location in found.submodule_search_locations:
        if (path := Path(location) / inner).exists():
            return path
    raise StageError(
        f"{source}: package {name} has no {inner}: look into {found.submodule_search_locations[0]}"
    )


def list_files(source: str) -> Listing:
    """Return every entry of `source`, sorted by relative path.

    Raises:
        StageError: the source is not there.
    """
    if is_address(source):
        return list_remote(source)
    root = resolve_source(source)
    if root.is_dir():
        return list_folder(root)
    facts = root.stat()
    listing = Listing(os.path.join(os.fspath(root.parent), ""))  # noqa: PTH118
    problem = "" if stat.S_ISREG(facts.st_mode) else "not a file"
    listing.append(listing.folder("", ""), root.name, facts.st_size, facts.st_mtime_ns, problem)
    return listing


@contextmanager
def fetched(file: SourceFile) -> Iterator[Path]:
    """Give the path of a file on this machine; one from elsewhere is copied here, and the copy removed afterwards.

    Raises:
        OSError: it cannot be copied.
    """
    if not is_address(file.location):
        yield Path(file.location)
        return
    with tempfile.TemporaryDirectory(prefix="forge-") as folder:
        copy = Path(folder) / "file"
        fetch(file.location, copy)
        yield copy
