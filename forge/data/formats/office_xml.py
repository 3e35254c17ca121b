"""Office Open XML packages (DOCX, PPTX, XLSX): parts, relations and properties, parsed without trusting them."""

from __future__ import annotations

import io
import posixpath
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lxml import etree

from forge.data.dates import from_text
from forge.data.formats.items import Budget, Content, Unreadable
from forge.data.formats.zip_parts import open_zip, read_part

REASON = "broken office file"
SAFE: dict[str, Any] = {
    "resolve_entities": False,
    "load_dtd": False,
    "no_network": True,
    "huge_tree": False,
    "remove_comments": True,
    "remove_pis": True,
}
"""No entity is expanded, nothing is fetched, and the library's own limits of depth and size hold."""


@dataclass(frozen=True, slots=True)
class Properties:
    """What a package says of itself in docProps/core.xml."""

    title: str = ""
    author: str | None = None
    created: str | None = None
    modified: str | None = None
    language: str | None = None
    version: str | None = None


class Package:
    """An open package."""

    def __init__(self, file: zipfile.ZipFile, budget: Budget) -> None:
        self._file = file
        self._parts = {part.filename: part for part in file.infolist()}
        self._budget = budget

    def has(self, name: str) -> bool:
        """True when there is such a part."""
        return name in self._parts

    def read(self, name: str) -> bytes:
        """Return the bytes of a part.

        Raises:
            Unreadable: it is not there, encrypted, damaged or too large.
        """
        if name not in self._parts:
            raise Unreadable(REASON, f"{name} is missing")
        return read_part(self._file, self._parts[name], self._budget)

    def tree(self, name: str) -> Any:
        """Return the root element of an XML part.

        Raises:
            Unreadable: as `read`, or it is no XML that may be read.
        """
        try:
            root = etree.fromstring(self.read(name), etree.XMLParser(**SAFE))
        except (etree.XMLSyntaxError, ValueError) as error:
            raise Unreadable(REASON, f"{name}: {error}") from None
        _refuse_doctype(root, name)
        return root

    def elements(self, name: str, tag: str) -> Iterator[Any]:
        """Yield the elements of a large part that have this local name; each is emptied after its turn.

        Raises:
            Unreadable: as `tree`.
        """
        stream = io.BytesIO(self.read(name))
        try:
            for _, element in etree.iterparse(stream, tag=f"{{*}}{tag}", **SAFE):
                _refuse_doctype(element, name)
                yield element
                element.clear()
                while element.getprevious() is not None:
                    del element.getparent()[0]
        except (etree.XMLSyntaxError, ValueError) as error:
            raise Unreadable(REASON, f"{name}: {error}") from None

    def relations(self, name: str) -> dict[str, tuple[str, str]]:
        """Return by id what kind of part a part refers to, and its name; those outside the package are left out."""
        folder, _, last = name.rpartition("/")
        table = f"{folder}/_rels/{last}.rels" if folder else f"_rels/{last}.rels"
        if not self.has(table):
            return {}
        found = {}
        for node in self.tree(table):
            if node.get("TargetMode") != "External" and node.get("Id") and node.get("Target"):
                target = posixpath.normpath(posixpath.join("/" + folder, node.get("Target"))).lstrip("/")
                found[node.get("Id")] = (str(node.get("Type")).rpartition("/")[2], target)
        return found

    def main_part(self) -> str:
        """Return the name of the part that is the document.

        Raises:
            Unreadable: there is none.
        """
        for kind, target in self.relations("").values():
            if kind == "officeDocument":
                return target
        raise Unreadable(REASON, "it names no document part")

    def properties(self) -> Properties:
        """Return what the package says of itself; nothing where that is missing or damaged."""
        target = next((to for kind, to in self.relations("").values() if kind == "core-properties"), None)
        if target is None or not self.has(target):
            return Properties()
        try:
            root = self.tree(target)
        except Unreadable:
            return Properties()  # the text is worth more than who wrote it
        said = {local(node): (node.text or "").strip() for node in root}
        return Properties(
            said.get("title", ""),
            said.get("creator") or said.get("lastModifiedBy") or None,
            from_text(said.get("created", "")),
            from_text(said.get("modified", "")),
            said.get("language") or None,
            said.get("version") or None,
        )


def open_package(content: Content) -> Any:
    """Return a context manager that gives the `Package` of a file.

    Raises:
        Unreadable: it is no zip file.
    """
    return _Opened(content)


class _Opened:
    def __init__(self, content: Content) -> None:
        self._content = content
        self._manager = open_zip(content, REASON)

    def __enter__(self) -> Package:
        return Package(self._manager.__enter__(), self._content.budget)

    def __exit__(self, *error: Any) -> bool | None:
        return self._manager.__exit__(*error)


def local(node: Any) -> str:
    """Return the name of an element without its namespace: the strict and the usual form differ in that alone."""
    return str(node.tag).rpartition("}")[2]


def attribute(node: Any, name: str) -> str | None:
    """Return an attribute by its local name, or None."""
    for key, value in node.items():
        if key.rpartition("}")[2] == name:
            return str(value)
    return None


def relation(node: Any) -> str:
    """Return the id of the relation an element refers to; it may have an id of its own beside it. '' for none."""
    return next(
        (str(value) for key, value in node.items() if key.startswith("{") and key.endswith("}id")), ""
    )


def _refuse_doctype(element: Any, name: str) -> None:
    if element.getroottree().docinfo.internalDTD is not None:
        # ECMA-376 part 2 forbids it; where it stands it is there to expand entities.
        raise Unreadable("unsafe xml", f"{name} has a document type declaration")
