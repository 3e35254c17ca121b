"""Archives: what is in them is read as if it lay in a folder of the archive's name."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, Self

import pyarrow as pa

from forge.data.dates import from_epoch
from forge.data.decode import encodable
from forge.data.formats.items import Budget, Content, Item, Member, Skipped, Unreadable, Within
from forge.data.formats.slack import is_slack_file, read_slack, slack_root
from forge.data.formats.zip_parts import DAMAGE, damage, open_zip, read_part

TAR_MARK, TAR_MARK_AT = b"ustar", 257
HEAD_BYTES = 512
PACKED = {
    **{".gz": "", ".bz2": "", ".xz": "", ".zst": ""},
    **{".tgz": ".tar", ".tbz2": ".tar", ".txz": ".tar", ".tzst": ".tar"},
}
"""Extensions of packed files, and what takes their place."""
OPENERS: dict[bytes, Any] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZ": bz2.BZ2File,
    b"\x28\xb5": lambda file: pa.CompressedInputStream(file, "zstd"),
}
"""By first bytes; xz otherwise."""
LOST = (tarfile.TruncatedHeaderError, tarfile.InvalidHeaderError)  # type: ignore[attr-defined]
TAR_DAMAGE = (tarfile.TarError, *DAMAGE)
HIDDEN = "hidden", "its name starts with a dot"


def read_zip(content: Content) -> Iterator[Item]:
    """Read a zip file's members, in the order they stand; as a Slack export when it is one."""
    with open_zip(content, "broken archive") as file:
        parts = _named(file)
        root = slack_root(list(parts))
        own = [name for name in parts if root is not None and is_slack_file(name, root)]
        if root is not None:
            yield from read_slack(own, root, lambda name: read_part(file, parts[name], content.budget))
        told = frozenset(own)
        for name, part in parts.items():
            if name in told:
                continue
            if _is_hidden(name):
                yield Within(name, Skipped(0, *HIDDEN))
            else:
                yield _zip_member(file, name, part, content.budget)


def read_tar(content: Content) -> Iterator[Item]:
    """Read a tar file's members."""
    with content.open() as file:
        yield from _tar_members(file, content.budget)


def read_packed(content: Content) -> Iterator[Item]:
    """Read a gzip, bzip2, xz or zstd file: a tar file's members, or the one file that it packs."""
    with content.open() as file:
        mark = file.read(2)
        file.seek(0)
        stream = _Metered(OPENERS.get(mark, lzma.LZMAFile)(file), content.budget)
        try:
            head = stream.read(HEAD_BYTES)
        except DAMAGE as error:
            raise damage(error, "broken archive") from None
        whole = _Rejoined(head, stream)
        path = PurePosixPath(content.name)
        name = path.stem + PACKED.get(path.suffix.lower(), path.suffix)
        if head[TAR_MARK_AT:].startswith(TAR_MARK) or name.lower().endswith(".tar"):
            yield from _tar_members(whole, content.budget)
            return

        def read() -> bytes:
            try:
                return _bounded(whole, content.budget)
            except DAMAGE as error:
                raise damage(error, "broken archive") from None

        yield Member(name, read, content.size_bytes)


def _named(file: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the members of a zip file by name; a second one of the same name gets one of its own."""
    parts: dict[str, zipfile.ZipInfo] = {}
    for part in file.infolist():
        if not part.filename.endswith("/"):
            parts[_unique(encodable(part.filename) or "unnamed", parts)] = part
    return parts


def _unique(name: str, taken: Any) -> str:
    place, own = 1, name
    while own in taken:
        place += 1
        own = f"{name} ({place})"
    return own


def _is_hidden(name: str) -> bool:
    return any(
        piece.startswith(".") and piece not in (".", "..") for piece in name.split("/")
    ) or name.startswith("__MACOSX/")


def _zip_member(file: zipfile.ZipFile, name: str, part: zipfile.ZipInfo, budget: Budget) -> Member:
    year = part.date_time[0]
    # 1980 is what is written where nothing is known.
    modified = "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z".format(*part.date_time) if year > 1980 else None
    return Member(name, lambda: read_part(file, part, budget), part.file_size, modified)


def _tar_members(file: Any, budget: Budget) -> Iterator[Item]:
    names: set[str] = set()
    try:
        with tarfile.open(fileobj=file, mode="r|", tarinfo=_StrictInfo) as archive:
            for entry in archive:
                if entry.isdir():
                    continue
                name = _unique(encodable(entry.name.removeprefix("./")) or "unnamed", names)
                names.add(name)
                archive.members = []  # type: ignore[attr-defined]  # it keeps all it has seen
                if _is_hidden(name):
                    yield Within(name, Skipped(0, *HIDDEN))
                elif entry.issym() or entry.islnk():
                    yield Within(name, Skipped(0, "link", "links are not followed"))
                elif not entry.isfile():
                    yield Within(name, Skipped(0, "not a file", "a device or pipe"))
                else:
                    yield _tar_member(archive, entry, name, budget)
    except TAR_DAMAGE as error:
        raise damage(error, "broken archive") from None


def _tar_member(archive: tarfile.TarFile, entry: tarfile.TarInfo, name: str, budget: Budget) -> Member:
    def read() -> bytes:
        if entry.size > budget.max_file_bytes:
            raise Unreadable(
                "too large", f"{entry.size} bytes, data.max_file_bytes is {budget.max_file_bytes}"
            )
        try:
            stream = archive.extractfile(entry)
            assert stream is not None
            content = budget.read(stream)
        except TAR_DAMAGE as error:
            raise damage(error, "broken archive") from None
        if len(content) < entry.size:
            raise Unreadable("broken archive", f"cut off after {len(content)} of {entry.size} bytes")
        return content

    return Member(name, read, entry.size, from_epoch(entry.mtime) if entry.mtime else None)


def _bounded(stream: Any, budget: Budget) -> bytes:
    """Return all of a stream that counts what comes out of it itself."""
    blocks = io.BytesIO()
    while block := stream.read(HEAD_BYTES * HEAD_BYTES):
        blocks.write(block)
        if blocks.tell() > budget.max_file_bytes:
            raise Unreadable("too large", f"unpacked; data.max_file_bytes is {budget.max_file_bytes}")
    return blocks.getvalue()


class _StrictInfo(tarfile.TarInfo):
    """A header of a tar file. The library takes a damaged one after the first for the end; this says so."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except LOST as error:
            raise tarfile.ReadError(str(error)) from None


class _Metered:
    """An unpacking stream that counts what comes out of it against the budget."""

    def __init__(self, stream: Any, budget: Budget) -> None:
        self._stream = stream
        self._budget = budget

    def read(self, size_bytes: int) -> bytes:
        block: bytes = self._stream.read(size_bytes)
        self._budget.spend(len(block))
        return block


class _Rejoined:
    """A stream whose head was read already."""

    def __init__(self, head: bytes, stream: _Metered) -> None:
        self._head = head
        self._stream = stream

    def read(self, size_bytes: int) -> bytes:
        if self._head:
            block, self._head = self._head[:size_bytes], self._head[size_bytes:]
            return block
        return self._stream.read(size_bytes)
