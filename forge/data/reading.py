"""From one file of a source to its documents, down through archives and attachments, whatever the file does."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from forge.data import conversations, preferences
from forge.data.formats.items import (
    MAX_DEPTH,
    Budget,
    Content,
    Document,
    Item,
    Member,
    Records,
    Skipped,
    Unreadable,
    Within,
)
from forge.data.formats.slack import read_slack
from forge.data.formats.sniff import Format, format_of
from forge.data.metadata import refusal

ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
"""Where an object lies: it differs from run to run, and what is set aside must not."""

SMALL_BYTES = 1024 * 1024
"""A file of fewer bytes is opened once."""

WANTED_MIME = {"conversation": conversations.MIME, "preference": preferences.MIME}
"""Of documents, where not all are wanted."""

OnUnit = Callable[[str, int], None]
"""Told the path below the file, and the bytes, of what is about to be read."""


class NeedsWorker(Exception):
    """The file is of a risky format, and this process must not read such."""


class OutOfMemory(Exception):
    """Reading took more memory than it may."""


class FileReader:
    """Reads one file of a source, and counts the files that it turns out to be.

    An archive counts as the files in it; it counts itself as well when something has to be said of it: that the rest of
    it is broken, or that it is empty.
    """

    def __init__(
        self,
        max_file_bytes: int,
        allow: Mapping[str, list[Any]],
        on_unit: OnUnit,
        failed: Mapping[str, tuple[str, str]],
        may_risk: bool,
        ocr: bool = False,
        records: Records = "text",
    ) -> None:
        """Args: see `data.schema.json` for the first two and `ocr`.

        on_unit: told before each file inside the file.
        failed: by path below the file, what must not be read again, and why: it brought a process down.
        may_risk: False raises `NeedsWorker` on formats that may take the process with them.
        records: what is wanted of the source; anything else is set aside.
        """
        self._max_file_bytes = max_file_bytes
        self._allow = dict(allow)
        self._on_unit = on_unit
        self._failed = failed
        self._may_risk = may_risk
        self._ocr = ocr
        self._records: Records = records
        self.files = 0
        self.files_with_documents = 0

    def read(self, name: str, where: Path, size_bytes: int) -> Iterator[tuple[str, Document | Skipped]]:
        """Yield what a file holds, each with its path below the file: at least one item.

        Args:
            name: path below the source.
            where: the file on disk.
            size_bytes: of the file.

        Raises:
            NeedsWorker: see the constructor.
            OutOfMemory: as it says.
        """
        budget = Budget(size_bytes, self._max_file_bytes)
        content = Content(name, where, size_bytes, budget, self._ocr, self._records)
        if size_bytes <= SMALL_BYTES:
            try:
                content = dataclasses.replace(content, where=self._guarded(where.read_bytes))
            except Unreadable as error:
                yield "", self.set_aside(error.reason, error.detail)
                return
        yield from self._file(content, "", 0, None)

    def read_export(
        self, root: str, names: Sequence[str], read: Callable[[str], bytes], size_bytes: int
    ) -> Iterator[tuple[str, Document | Skipped]]:
        """Yield what each file of a Slack export that lies unpacked holds, with its name: one item each.

        Args:
            root: the folder of the export; '' or with a slash at its end.
            names: its files, with `root` before them.
            read: returns the bytes of one, or raises `Unreadable`.
            size_bytes: of them all.
        """
        told = set()
        try:
            if "" in self._failed:
                raise Unreadable(*self._failed[""])
            self._on_unit("", size_bytes)
            items = read_slack(names, root, read)
            while (within := self._guarded(lambda: next(items, None))) is not None:
                told.add(within.name)
                found = self._judged(within.item)
                self._count(isinstance(found, Document))
                yield within.name, found
        except Unreadable as error:
            for name in names:
                if name not in told:
                    yield name, self.set_aside(error.reason, error.detail)

    def set_aside(self, reason: str, detail: str) -> Skipped:
        """Count a whole file as set aside."""
        self.files += 1
        return Skipped(0, reason, detail)

    def _file(
        self, content: Content, inside: str, depth: int, modified: str | None
    ) -> Iterator[tuple[str, Document | Skipped]]:
        if inside in self._failed:
            yield inside, self.set_aside(*self._failed[inside])
            return
        self._on_unit(inside, content.size_bytes)
        own = documents = others = 0
        for item in self._items(content):
            if isinstance(item, Member | Within):
                others += 1
                path = f"{inside}/{item.name}" if inside else item.name
                if isinstance(item, Member):
                    yield from self._member(item, path, content, depth + 1)
                    self._on_unit(inside, content.size_bytes)
                else:
                    found = self._judged(item.item)
                    self._count(isinstance(found, Document))
                    yield path, found
            else:
                if isinstance(item, Document) and item.modified is None and modified is not None:
                    item = dataclasses.replace(item, modified=modified)
                found = self._judged(item)
                own += 1
                documents += isinstance(found, Document)
                yield inside, found
        if own or not others:
            self._count(documents > 0)
        if not own and not others:
            yield inside, Skipped(0, "empty", "no document in the file")

    def _member(
        self, member: Member, path: str, outer: Content, depth: int
    ) -> Iterator[tuple[str, Document | Skipped]]:
        if path in self._failed:
            yield path, self.set_aside(*self._failed[path])
            return
        self._on_unit(path, member.size_bytes)
        try:
            raw = self._guarded(member.read)
        except Unreadable as error:
            yield path, self.set_aside(error.reason, error.detail)
            return
        if depth > MAX_DEPTH:
            yield path, self.set_aside("nested too deep", f"{depth} files one in another")
            return
        name = f"{outer.name}/{member.name}"
        yield from self._file(
            dataclasses.replace(outer, name=name, where=raw, size_bytes=len(raw)),
            path,
            depth,
            member.modified,
        )

    def _items(self, content: Content) -> Iterator[Item]:
        """Yield what the reader of `content` does, and what it raises as one more item."""
        try:
            kind = self._guarded(lambda: format_of(content))
            self._admit(kind)
            items = kind.reader(content)
            while True:
                item = self._guarded(lambda: next(items, None))
                if item is None:
                    return
                if isinstance(item, Document):
                    content.budget.spend_text(len(item.text))
                yield item
        except Unreadable as error:
            yield Skipped(0, error.reason, error.detail)

    def _guarded(self, step: Callable[[], Any]) -> Any:
        """Take a step of a reader. Whatever goes wrong in it is the file's fault, and no reason to stop."""
        try:
            return step()
        except (Unreadable, NeedsWorker):
            raise
        except (MemoryError, pa.ArrowMemoryError):
            raise OutOfMemory from None
        except OSError as error:
            raise Unreadable("unreadable", error.strerror or _shown(error)) from None
        except Exception as error:
            raise Unreadable("reader failed", _shown(error)) from None

    def _admit(self, kind: Format) -> None:
        if kind.is_risky and not self._may_risk:
            raise NeedsWorker

    def _judged(self, item: Document | Skipped) -> Document | Skipped:
        """Return `item`, or why its document is not wanted."""
        if isinstance(item, Skipped):
            return item
        if item.mime != WANTED_MIME.get(self._records, item.mime):
            kept_in = f"it is {item.mime}, {self._records}s are JSON Lines, JSON, Parquet or Arrow"
            return Skipped(item.part, f"no {self._records}", kept_in)
        if not item.text or item.text.isspace():
            return Skipped(item.part, "empty", "no text but white space")
        found = refusal(item.metadata, self._allow)
        return item if found is None else Skipped(item.part, *found)

    def _count(self, has_documents: bool) -> None:
        self.files += 1
        self.files_with_documents += has_documents


def _shown(error: Exception) -> str:
    return ADDRESS.sub("", f"{type(error).__name__}: {error}")
