"""The bytes of a pack: a plain tar (POSIX ustar) of small files, in the one form that those files can have.

The same files always make the same bytes, and bytes in any other form are refused: what a reader of tar files may
take in several ways (a name twice, a link, a sparse file, an extended header, something after the end) cannot occur.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from forge.errors import PackError
from forge.spec.text import printable, shortened

MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
SUFFIX = ".forge"

MAX_PACK_BYTES = 8 * 1024**2
MAX_MEMBERS = 1_000
MAX_MEMBER_BYTES = 1024**2

_NAME = r"_?[A-Za-z0-9][A-Za-z0-9_.-]{0,39}"
_MEMBER = re.compile(
    rf"(manifest\.json|manifest\.sig|recipes/{_NAME}\.yaml|conf/[a-z]+/{_NAME}\.yaml|evidence/{_NAME}\.json)\Z"
)
_BLOCK_BYTES = 512
_END = bytes(2 * _BLOCK_BYTES)
_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"5": "a folder",
    b"6": "a pipe",
    b"S": "a sparse file",
}
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}


def is_member_name(name: str) -> bool:
    """True for a name that a file of a pack can have."""
    return _MEMBER.match(name) is not None


def encode(members: Mapping[str, bytes]) -> bytes:
    """Return the bytes of a pack with these files, by name."""
    parts = []
    for name in in_order(members):
        content = members[name]
        parts += [_header(name, len(content)), content, bytes(-len(content) % _BLOCK_BYTES)]
    return b"".join([*parts, _END])


def in_order(names: Iterable[str]) -> list[str]:
    """Return names of files as a pack has them: manifest, signature, then the others by name."""
    first = (MANIFEST, SIGNATURE)
    return sorted(names, key=lambda name: (first.index(name) if name in first else len(first), name))


def decode(content: bytes, where: str) -> dict[str, bytes]:
    """Return the files of a pack, by name.

    Args:
        content: of the pack.
        where: what messages call it.

    Raises:
        PackError: it is in no form that `encode` makes.
    """
    if len(content) > MAX_PACK_BYTES:
        raise PackError(
            f"{where}: is larger than {MAX_PACK_BYTES // 1024**2} MiB: a pack is recipes, not models"
        )
    for magic, name in _COMPRESSED.items():
        if content.startswith(magic):
            raise PackError(f"{where}: is compressed ({name}): a pack is a plain tar, as its maker wrote it")
    members: dict[str, bytes] = {}
    at = 0
    while content[at : at + _BLOCK_BYTES].strip(b"\0"):
        name, content_bytes = _read_header(content[at : at + _BLOCK_BYTES], where)
        at += _BLOCK_BYTES
        if name.lower() in {other.lower() for other in members}:
            raise PackError(f"{where}: holds {name} twice: refused")
        if len(members) >= MAX_MEMBERS:
            raise PackError(f"{where}: holds more than {MAX_MEMBERS} files: refused")
        if content_bytes > MAX_MEMBER_BYTES:
            raise PackError(
                f"{where}: {name}: says it is {content_bytes:,} bytes, and {MAX_MEMBER_BYTES:,} is the most: refused"
            )
        members[name] = content[at : at + content_bytes]
        if len(members[name]) < content_bytes:
            raise PackError(f"{where}: ends inside {name}: fetch it again")
        at += -(-content_bytes // _BLOCK_BYTES) * _BLOCK_BYTES
    if content[at : at + len(_END)] != _END:
        raise PackError(f"{where}: has no end: fetch it again")
    if len(content) > at + len(_END):
        raise PackError(f"{where}: has {len(content) - at - len(_END):,} bytes after its end: refused")
    if next(iter(members), None) != MANIFEST:
        raise PackError(f"{where}: does not begin with {MANIFEST}: it is no pack")
    if encode(members) != content:
        raise PackError(f"{where}: is not in the form that `forge recipe pack` writes: refused")
    return members


def _header(name: str, content_bytes: int) -> bytes:
    """Return the header of a file: ustar, mode 0644, owner 0, time 0."""
    fields = (
        name.encode("ascii").ljust(100, b"\0"),
        b"0000644\0" + b"0000000\0" * 2,
        b"%011o\0" % content_bytes,
        b"%011o\0" % 0,
        b" " * 8,  # the checksum is taken with blanks in its place
        b"0" + bytes(100),
        b"ustar\x0000" + bytes(64),
        b"0000000\0" * 2,
    )
    header = b"".join(fields).ljust(_BLOCK_BYTES, b"\0")
    return header.replace(b" " * 8, b"%06o\0 " % sum(header), 1)


def _read_header(header: bytes, where: str) -> tuple[str, int]:
    """Return name and size of a file; nothing but what `_header` makes is one."""
    if header[257:262] != b"ustar":
        raise PackError(f"{where}: is not a tar file: it is no pack")
    name = header[:100].rstrip(b"\0").decode("utf-8", "replace")
    shown = shortened(printable(name))
    kind = header[156:157]
    if kind in _KINDS:
        raise PackError(f"{where}: {shown}: is {_KINDS[kind]}: a pack holds plain files only")
    if kind != b"0":
        raise PackError(f"{where}: {shown}: has an entry of type {kind!r}: a pack holds plain files only")
    if name.startswith("/") or ".." in name.split("/"):
        raise PackError(f"{where}: {shown}: leads out of the pack: refused")
    if not is_member_name(name):
        raise PackError(
            f"{where}: {shown}: is no file of a pack: "
            "it holds recipes/*.yaml, conf/GROUP/*.yaml and evidence/*.json"
        )
    size = header[124:135]
    if not re.fullmatch(rb"[0-7]{11}", size):
        raise PackError(f"{where}: {shown}: has a size that cannot be read: refused")
    content_bytes = int(size, 8)
    if header != _header(name, content_bytes):
        raise PackError(f"{where}: {shown}: has a header that `forge recipe pack` does not write: refused")
    return name, content_bytes
