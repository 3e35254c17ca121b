"""What readers take and give: the content of one file in, documents, members and refusals out."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal

BLOCK_BYTES = 1024 * 1024

Records = Literal["text", "conversation", "preference"]
"""What is wanted of a source: documents, or conversations, or preferences, and nothing else."""

MAX_EXPANSION = 200
"""Bytes a file may unpack to, for each byte it has on disk. Text packs to a fifth, logs to a fiftieth."""
EXPANSION_SLACK_BYTES = 64 * 1024 * 1024
"""What any file may unpack to, however small it is."""
MAX_DEPTH = 5
"""Files within files within files: so many levels are opened."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document as its file has it, newlines apart. Times are as `forge.data.dates` writes them."""

    part: int
    """Line, row, message, sheet or day in the file, from 1; 0 when the file is the document."""
    text: str
    mime: str
    title: str = ""
    author: str | None = None
    created: str | None = None
    modified: str | None = None
    language: str | None = None
    group: str | None = None
    """What it belongs with, where the format tells: the thread of an e-mail, the conversation of a chat."""
    version: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A document, or a whole file (part 0), that could not be read, and why."""

    part: int
    reason: str
    """A stable short code."""
    detail: str


class Unreadable(Exception):
    """The file, or the rest of it, cannot be read. `reason` is a stable short code."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Member:
    """A file inside the file: in an archive, attached to a letter. To be read at once: the archive may be a stream."""

    name: str
    """POSIX path below the file."""
    read: Callable[[], bytes]
    """Raises `Unreadable` when it can't be."""
    size_bytes: int
    """As the file says, which may be a lie; it bounds nothing but the time allowed."""
    modified: str | None = None


@dataclass(frozen=True, slots=True)
class Within:
    """What a file inside the file holds, where the reader had to look at several to say it."""

    name: str
    """POSIX path below the file; each yields one item."""
    item: Document | Skipped


Item = Document | Skipped | Member | Within


class Budget:
    """What one file of a source may unpack to, shared by all that is inside it."""

    def __init__(self, file_bytes: int, max_file_bytes: int) -> None:
        self.max_file_bytes = max_file_bytes
        """Largest member read."""
        self._allowed_bytes = file_bytes * MAX_EXPANSION + EXPANSION_SLACK_BYTES
        self._left_bytes = self._left_characters = self._allowed_bytes

    def spend(self, amount_bytes: int) -> None:
        """Count unpacked bytes.

        Raises:
            Unreadable: more came out than a file of this size may hold.
        """
        self._left_bytes -= amount_bytes
        self._check()

    def spend_text(self, characters: int) -> None:
        """Count the text of documents; many rows may be one long text that is stored once. Raises as `spend`."""
        self._left_characters -= characters
        self._check()

    def _check(self) -> None:
        if min(self._left_bytes, self._left_characters) < 0:
            raise Unreadable(
                "expands too far",
                f"more than {self._allowed_bytes} bytes come out of it: the rest was not read",
            )

    def read(self, stream: IO[bytes]) -> bytes:
        """Return all of an unpacking `stream`.

        Raises:
            Unreadable: it is larger than the largest file, or breaks the budget.
        """
        blocks = []
        size_bytes = 0
        while block := stream.read(BLOCK_BYTES):
            size_bytes += len(block)
            if size_bytes > self.max_file_bytes:
                raise Unreadable("too large", f"data.max_file_bytes is {self.max_file_bytes}")
            self.spend(len(block))
            blocks.append(block)
        return b"".join(blocks)


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of one file: on disk, or unpacked in memory."""

    name: str
    """POSIX path below the source; its extension and its folders mean something to some readers."""
    where: Path | bytes
    size_bytes: int
    budget: Budget
    ocr: bool = False
    """Whether pictures of pages are read as well."""
    records: Records = "text"

    def open(self) -> BinaryIO:
        """Open it for reading."""
        return self.where.open("rb") if isinstance(self.where, Path) else io.BytesIO(self.where)

    def read(self) -> bytes:
        """Return all of it."""
        return self.where.read_bytes() if isinstance(self.where, Path) else self.where

    def head(self, size_bytes: int) -> bytes:
        """Return its first bytes."""
        if not isinstance(self.where, Path):
            return self.where[:size_bytes]
        with self.open() as file:
            return file.read(size_bytes)


Reader = Callable[[Content], Iterator[Item]]
"""Yields what a file holds. May raise `Unreadable`, and `OSError` when the disk fails."""


def newlines(text: str) -> str:
    """Return `text` with every line end a newline."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
