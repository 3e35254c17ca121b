"""What a source holds, file by file, in few bytes a file. Standard library only."""

from __future__ import annotations

import bisect
import hashlib
import os
import stat
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
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
        self.sizes = array("Q")
        """Bytes of each entry."""
        self.times = array("q")
        """When each was changed last, in ns."""
        self.problems = bytearray()
        """Place in PROBLEMS of why each is not read; 0 where it is."""
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
        self.sizes.append(size_bytes)
        self.times.append(mtime_ns)
        self.problems.append(PROBLEMS.index(problem))
        if detail:
            self._details[place] = detail
        if real_name:
            self._real_names[place] = real_name
        if not problem:
            self.bytes += size_bytes

    def extend(self, folder: int, names: Sequence[str], sizes: Sequence[int], times: Sequence[int]) -> None:
        """Add files of one folder that are read, in the order of their names."""
        encoded = [name.encode() for name in names]
        start = len(self._names)
        self._names += b"".join(encoded)
        self._ends.extend(list(accumulate(map(len, encoded), initial=start))[1:])
        self._folder_numbers.extend([folder] * len(names))
        self.sizes.extend(sizes)
        self.times.extend(times)
        self.problems.extend(bytes(len(names)))
        self.bytes += sum(sizes)

    def __len__(self) -> int:
        return len(self._ends)

    def __iter__(self) -> Iterator[SourceFile]:
        return (self[place] for place in range(len(self)))

    def __getitem__(self, place: int) -> SourceFile:
        shown, real = self._folders[self._folder_numbers[place]]
        name = self._name(place)
        problem = self.problems[place]
        return SourceFile(
            shown + name,
            self._root + real + self._real_names.get(place, name),
            self.sizes[place],
            self.times[place],
            PROBLEMS[problem],
            self._details.get(place, DETAILS[problem]),
        )

    def paths(self, first: int, last: int) -> Iterator[tuple[str, str]]:
        """Yield `relative` and `location` of the entries from `first` to before `last`."""
        begin = self._ends[first - 1] if first else 0
        names, ends = self._names, self._ends[first:last]
        number, shown, real = -1, "", ""
        for place, (folder, end) in enumerate(
            zip(self._folder_numbers[first:last], ends, strict=True), first
        ):
            if folder != number:
                number, (shown, inner) = folder, self._folders[folder]
                real = self._root + inner
            name = names[begin:end].decode()
            begin = end
            yield shown + name, real + self._real_names.get(place, name)

    def digest(self) -> bytes:
        """Return a hash of all entries."""
        digest = hashlib.sha256(repr((self._root, self._folders, self._details, self._real_names)).encode())
        for column in (self._names, self._ends, self._folder_numbers, self.sizes, self.times, self.problems):
            digest.update(column)
        return digest.digest()

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
        deeper = _add_files(listing, number, base + real, names, odd)
        if deeper is None:
            waiting.pop()
        else:
            real_name = odd.get(deeper, deeper.removesuffix("/"))
            waiting.append(_opened(listing, shown + deeper, f"{real}{real_name}/", base))
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


def _add_files(
    listing: Listing, folder: int, base: str, names: Iterator[str], odd: dict[str, str]
) -> str | None:
    """Add entries up to the next folder to descend into; return its name, or None at the end."""
    deeper = None
    plain: list[str] = []
    sizes: list[int] = []
    times: list[int] = []
    for name in names:
        if name.endswith("/"):
            deeper = name
            break
        if name[0] != "." and name not in odd:
            try:
                facts = os.lstat(base + name)
            except OSError:
                pass  # said below
            else:
                if stat.S_ISREG(facts.st_mode):
                    plain.append(name)
                    sizes.append(facts.st_size)
                    times.append(facts.st_mtime_ns)
                    continue
        listing.extend(folder, plain, sizes, times)
        plain, sizes, times = [], [], []
        _add(listing, folder, base, name, odd.get(name, name))
    listing.extend(folder, plain, sizes, times)
    return deeper


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
