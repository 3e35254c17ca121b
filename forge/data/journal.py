"""A file that grows block by block, with a journal beside it that says which blocks are whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class JournalledFile:
    """Appends blocks to `path`; a context manager. What an earlier one finished is kept, the rest is cut off.

    The journal has a line for each block: its bytes, their SHA-256, and what the writer notes of it.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the file and its journal, `<path>.journal`."""
        journal = path.with_name(f"{path.name}.journal")
        self.noted: list[Any] = []
        """Of the blocks that are there, in order."""
        path.touch()
        journal.touch()
        content_bytes, journal_bytes = self._whole(path, journal)
        self._file, self._journal = path.open("r+b"), journal.open("r+b")
        for file, size_bytes in ((self._file, content_bytes), (self._journal, journal_bytes)):
            file.truncate(size_bytes)
            file.seek(size_bytes)

    def append(self, block: bytes, note: Any) -> None:
        """Add a block, and what JSON can say of it."""
        self._file.write(block)
        self._file.flush()
        line = {"bytes": len(block), "sha256": hashlib.sha256(block).hexdigest(), "note": note}
        self._journal.write(json.dumps(line).encode() + b"\n")
        self._journal.flush()

    def _whole(self, path: Path, journal: Path) -> tuple[int, int]:
        """Read what is there; return how many bytes of either file are whole blocks."""
        content_bytes = journal_bytes = 0
        with path.open("rb") as file, journal.open("rb") as lines:
            for line in lines:
                try:
                    told = json.loads(line)
                    block = file.read(told["bytes"])
                    good = line.endswith(b"\n") and hashlib.sha256(block).hexdigest() == told["sha256"]
                    note = told["note"]
                except (ValueError, KeyError, TypeError):
                    break
                if not good:
                    break
                self.noted.append(note)
                content_bytes += len(block)
                journal_bytes += len(line)
        return content_bytes, journal_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._journal.close()
