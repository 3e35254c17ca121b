"""What a source holds, file by file, in few bytes a file. Standard library only."""

from __future__ import annotations

import bisect
import os
import stat
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROBLEMS = ("", "link", "hidden", "not a file", "unreadable")
DETAILS = ("", "links are not followed", "its name starts with a dot", "a device, pipe or socket", "")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One entry of a source."""

    relative: str
    """POSIX path below the source; the file's name when the source is a file."""
    location: str
    """Path on this machine, or the address of a file elsewhere."""
    bytes: int
    mtime_ns: int
    """0 where it is not known."""
    problem: str
    """Why it is not read ('' when it is): 'link', 'hidden', 'not a file', 'unreadable'."""
    detail: str


class Listing:
    """The entries of a source, sorted by relative path.

    A folder of ten million files must fit: an entry is its name and 29 bytes; it becomes a `SourceFile` when asked for.
    """

    def __init__(self, root: str) -> None:
        """Start an empty listing; `root` is put before the real path of each entry."""
        self.bytes = 0
        """Of the files that are read."""
        self._root = root
        self._folders: list[tuple[str, str]] = []  # as shown and as it is, each with a slash at its end
        self._names = bytearray()
        self._ends = array("Q")
        self._folder_numbers = array("L" if array("L").itemsize == 4 else "I")
        self._sizes = array("Q")
        self._times = array("q")
        self._problems = bytearray()
        self._details: dict[int, str] = {}
        self._real_names: dict[int, str] = {}

    def folder(self, shown: str, real: str) -> int:
        """Add a folder; return its number."""
        self._folders.append((shown, real))
        return len(self._folders) - 1

    def append(
        self,
        folder: int,
        name: str,
        size_bytes: int,
        mtime_ns: int,
        problem: str = "",
        detail: str = "",
        real_name: str = "",
    ) -> None:
        """Add an entry; entries come in the order of their paths. `real_name` where `name` only stands for it."""
        place = len(self._ends)
        self._names += name.encode()
        self._ends.append(len(self._names))
        self._folder_numbers.append(folder)
        self._sizes.append(size_bytes)
        self._times.append(mtime_ns)
        self._problems.append(PROBLEMS.index(problem))
        if detail:
            self._details[place] = detail
        if real_name:
            self._real_names[place] = real_name
        if not problem:
            self.bytes += size_bytes

    def __len__(self) -> int:
        return len(self._ends)

    def __iter__(self) -> Iterator[SourceFile]:
        return (self[place] for place in range(len(self)))

    def __getitem__(self, place: int) -> SourceFile:
        shown, real = self._folders[self._folder_numbers[place]]
        name = self._name(place)
        problem = self._problems[place]
        return SourceFile(
            shown + name,
            self._root + real + self._real_names.get(place, name),
            self._sizes[place],
            self._times[place],
            PROBLEMS[problem],
            self._details.get(place, DETAILS[problem]),
        )

    def __contains__(self, relative: str) -> bool:
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            here = self._folders[self._folder_numbers[middle]][0] + self._name(middle)
            if here == relative:
                return True
            if here < relative:
                low = middle + 1
            else:
                high = middle
        return False

    def named(self, name: str) -> Iterator[SourceFile]:
        """Yield the entries of this name, whatever their folder."""
        wanted = name.encode()
        start = self._names.find(wanted)
        while start >= 0:
            place = bisect.bisect_right(self._ends, start)
            if self._name(place) == name:
                yield self[place]
            start = self._names.find(wanted, start + 1)

    def _name(self, place: int) -> str:
        start = self._ends[place - 1] if place else 0
        return self._names[start : self._ends[place]].decode()


def list_folder(root: Path) -> Listing:
    """Return every entry below a folder.

    Links are listed, not followed: their target is outside the source, or is read in its own place, or loops.
    Hidden entries (a name that starts with a dot) are listed, a hidden folder as one entry.
    """
    base = os.path.join(os.fspath(root), "")  # noqa: PTH118
    listing = Listing(base)
    # Folders in which to go on: their number, their path as shown and as it is, and the names that are left.
    waiting = [_opened(listing, "", "", base)]
    while waiting:
        number, shown, real, names, odd = waiting[-1]
        for name in names:
            real_name = odd.get(name, name.removesuffix("/"))
            if name.endswith("/"):
                waiting.append(_opened(listing, shown + name, f"{real}{real_name}/", base))
                break
            _add(listing, number, base + real, name, real_name)
        else:
            waiting.pop()
    return listing


_Opened = tuple[int, str, str, Iterator[str], dict[str, str]]


def _opened(listing: Listing, shown: str, real: str, base: str) -> _Opened:
    """Open a folder. Folders to descend into have a slash at their end, so that names sort as whole paths do."""
    number = listing.folder(shown, real)
    names: list[str] = []
    odd_names: list[tuple[str, str]] = []
    try:
        with os.scandir(base + real) as entries:
            for entry in entries:
                name = _shown(entry.name)
                end = "/" if entry.is_dir(follow_symlinks=False) and not name.startswith(".") else ""
                if name == entry.name:
                    names.append(name + end)
                else:
                    odd_names.append((entry.name, name + end))
    except OSError as error:
        folder = shown.rstrip("/")
        above, _, last = folder.rpartition("/")
        place = listing.folder(f"{above}/" if above else "", "")
        listing.append(place, last or ".", 0, 0, "unreadable", error.strerror or "", real or ".")
        return number, shown, real, iter(()), {}
    odd = _apart(names, odd_names)
    names.extend(odd)
    names.sort()
    return number, shown, real, iter(names), odd


def _shown(name: str) -> str:
    """Return a name that fits in a table: bytes that are not UTF-8 are written out."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "backslashreplace")


def _apart(names: list[str], odd_names: list[tuple[str, str]]) -> dict[str, str]:
    """Return the real names of entries by what is shown for them: something that no other entry is called."""
    if not odd_names:
        return {}
    taken = set(names)
    odd: dict[str, str] = {}
    for real, name in sorted(odd_names, key=lambda pair: os.fsencode(pair[0])):
        while name in taken:
            name = name.replace("\\", "\\\\", 1)
        taken.add(name)
        odd[name] = real
    return odd


def _add(listing: Listing, folder: int, base: str, name: str, real_name: str) -> None:
    own = real_name if real_name != name else ""
    try:
        facts = os.lstat(base + real_name)
    except OSError as error:
        listing.append(folder, name, 0, 0, "unreadable", error.strerror or "", own)
        return
    if stat.S_ISLNK(facts.st_mode):
        listing.append(folder, name, 0, 0, "link", "", own)
    elif name.startswith("."):
        listing.append(folder, name, 0, 0, "hidden", "", own)
    elif not stat.S_ISREG(facts.st_mode):
        listing.append(folder, name, 0, 0, "not a file", "", own)
    else:
        listing.append(folder, name, facts.st_size, facts.st_mtime_ns, "", "", own)
