"""Sources elsewhere: object stores and other file systems that the user named by an address.

`s3://`, `gs://`, `abfs://` and `file://` are read by Arrow's own file systems; any other scheme by fsspec's, where that
is installed. Nothing is asked of the network but what lies below the address.
"""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from forge.data.listing import Listing
from forge.errors import StageError

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
OWN_SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss", "file")
COPY_BLOCK_BYTES = 4 * 1024 * 1024


def is_address(source: str) -> bool:
    """True when a source is named by an address and not by a path."""
    return ADDRESS.match(source) is not None


def list_remote(address: str) -> Listing:
    """Return every file below an address, sorted by relative path; hidden ones as in a folder.

    Raises:
        StageError: there is nothing there, or it cannot be reached.
    """
    from pyarrow import fs

    system, root, prefix = _open(address)
    try:
        there = system.get_file_info(root)
        if there.type == fs.FileType.File:
            found = [(Path(root).name, there)]
            prefix = prefix.removesuffix(found[0][0] + "/")
        else:
            selector = fs.FileSelector(root, recursive=True)
            found = [
                (info.path.removeprefix(root).lstrip("/"), info)
                for info in system.get_file_info(selector)
                if info.type == fs.FileType.File
            ]
    except (OSError, ValueError) as error:
        raise StageError(f"{address}: cannot be read ({_reason(error)}): look after the address") from None
    listing = Listing(prefix)
    folders: dict[str, int] = {}
    for relative, info in sorted(found, key=lambda entry: entry[0]):
        folder, slash, name = relative.rpartition("/")
        if folder not in folders:
            folders[folder] = listing.folder(folder + slash, folder + slash)
        hidden = any(part.startswith(".") for part in relative.split("/"))
        listing.append(folders[folder], name, info.size or 0, _mtime_ns(info), "hidden" if hidden else "")
    return listing


def fetch(location: str, to: Path) -> None:
    """Copy the file at an address to a path on this machine.

    Raises:
        OSError: it cannot be read, or the copy not written.
    """
    system, path, _ = _open(location)
    with system.open_input_stream(path) as stream, to.open("wb") as copy:
        shutil.copyfileobj(stream, copy, COPY_BLOCK_BYTES)


def _open(address: str) -> tuple[Any, str, str]:
    """Return (file system, path on it, what to put before a path below it to have an address).

    Raises:
        StageError: no such file system can be had.
    """
    from pyarrow import fs

    scheme, _, rest = address.partition("://")
    if scheme.lower() == "nfs":
        raise StageError(f"{address}: an NFS share is read where it is mounted: set data.path to that folder")
    try:
        if scheme.lower() in OWN_SCHEMES:
            system, path = fs.FileSystem.from_uri(address)
        else:
            system, path = _by_fsspec(address, scheme)
    except (OSError, ValueError, ImportError) as error:
        raise StageError(f"{address}: {_reason(error)}: give an address of s3, gs, abfs or file") from None
    path = path.rstrip("/")
    return system, path, f"{scheme}://{rest.rstrip('/')}/"


def _by_fsspec(address: str, scheme: str) -> tuple[Any, str]:
    import fsspec
    from pyarrow import fs

    scheme = "abfs" if scheme == "az" else scheme
    system, path = fsspec.core.url_to_fs(f"{scheme}://{address.partition('://')[2]}")
    return fs.PyFileSystem(fs.FSSpecHandler(system)), path


def _mtime_ns(info: Any) -> int:
    when = info.mtime
    if not isinstance(when, datetime):
        return 0
    return int(when.replace(tzinfo=when.tzinfo or UTC).timestamp()) * 1_000_000_000


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
