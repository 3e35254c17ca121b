"""Where a pack comes from: a file, an https address with the hash it must have, a commit of a git repository."""

from __future__ import annotations

import hashlib
import os
import re
import resource
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from forge.errors import PackError
from forge.spec.pack_format import MAX_PACK_BYTES, SUFFIX
from forge.spec.text import has_control_characters, printable, shortened

if TYPE_CHECKING:
    from urllib.request import OpenerDirector, Request

TIMEOUT_S = 30
"""Of one answer of a server."""
DEADLINE_S = 300
"""Of a whole transfer."""
MAX_GIT_FILE_BYTES = 256 * 1024**2

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_GIT = re.compile(r"git\+(?P<url>[^#]+)@(?P<commit>[0-9a-fA-F]+)(?:#(?P<path>[A-Za-z0-9_./-]+))?\Z")
_GIT_PROTOCOLS = ("https", "ssh", "file")
_GIT_LOCAL = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR",
              "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_CONFIG", "GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS",
              "GIT_TEMPLATE_DIR", "GIT_EXEC_PATH", "GIT_NAMESPACE", "GIT_SHALLOW_FILE")  # fmt: skip
"""Variables of git that speak of another repository, or set options for this one."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The bytes of a pack, not verified yet."""

    content: bytes
    where: str
    """What messages call it."""
    file_name: str


def fetch(source: str, sha256: str | None) -> Fetched:
    """Return the bytes of a pack.

    Args:
        source: a file, `https://...`, or `git+URL@COMMIT#PATH`.
        sha256: the hash it must have; an https address needs one.

    Raises:
        PackError: it is not there, of a kind that is not taken, or another than the hash says.
    """
    if has_control_characters(source):
        raise PackError("command line: SOURCE: holds control characters: remove them")
    if sha256 is not None and not _SHA256.match(sha256):
        raise PackError("command line: --sha256: is 64 hexadecimal digits, small, as sha256sum prints them")
    if source.startswith("git+"):
        fetched = _from_git(source)
    elif re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", source):
        fetched = _from_https(source, sha256)
    else:
        fetched = fetch_file(source)
    found = hashlib.sha256(fetched.content).hexdigest()
    if sha256 is not None and found != sha256:
        raise PackError(f"{fetched.where}: has the hash {found}, not {sha256}: refused")
    return fetched


def fetch_file(source: str) -> Fetched:
    """Return the bytes of a pack in a file.

    Raises:
        PackError: it is not there, or cannot be read.
    """
    path = Path(source)
    try:
        if not path.is_file():
            raise PackError(f"{source}: no such file: name a pack, as acme-1.2.0{SUFFIX}")
        with path.open("rb") as file:
            content = file.read(MAX_PACK_BYTES + 1)
    except OSError as error:
        raise PackError(f"{source}: cannot be read: {error.strerror}") from None
    return Fetched(content, path.name, path.name)


def _from_https(source: str, sha256: str | None) -> Fetched:
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import Request

    where = _address(source)
    if sha256 is None:
        raise PackError(
            f"{where}: needs the hash that it must have: --sha256 HASH, from whoever gave you the address"
        )
    began_s = time.monotonic()
    content = bytearray()
    try:
        with _opener().open(Request(source, headers={"User-Agent": "forge"}), timeout=TIMEOUT_S) as answer:
            while part := answer.read(64 * 1024):
                content += part
                if len(content) > MAX_PACK_BYTES:
                    raise PackError(
                        f"{where}: sends more than {MAX_PACK_BYTES // 1024**2} MiB: it is no pack"
                    )
                if time.monotonic() - began_s > DEADLINE_S:
                    raise PackError(f"{where}: takes longer than {DEADLINE_S} s: try again later")
    except HTTPError as error:
        raise PackError(f"{where}: answers {error.code}: look at the address") from None
    except URLError as error:
        raise PackError(f"{where}: {shortened(printable(str(error.reason)), 120)}") from None
    except (OSError, HTTPException, ValueError) as error:
        raise PackError(f"{where}: cannot be fetched: {shortened(printable(str(error)), 120)}") from None
    # Where a server sends one to may be called anything: the name is that of the address that was given.
    return Fetched(bytes(content), where, Path(urlsplit(source).path).name)


def _address(source: str) -> str:
    """Return an address as messages show it, without a password or token that may be in it.

    Raises:
        PackError: it is no https address.
    """
    try:
        parts = urlsplit(source)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        raise PackError(f"{shortened(source)}: is no address") from None
    if parts.scheme.lower() != "https":
        raise PackError(
            f"{shortened(parts.scheme)}: is no way to fetch a pack: give a file, https://... or git+URL@COMMIT"
        )
    if not host:
        raise PackError(f"{shortened(source)}: names no host")
    return f"https://{host}{port}{parts.path}"


def _opener() -> OpenerDirector:
    """Return what opens https addresses, follows redirections to https, and nothing else."""
    from urllib import request

    class OnlyHttps(request.HTTPRedirectHandler):
        def redirect_request(
            self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
        ) -> Request | None:
            if urlsplit(newurl).scheme != "https":
                raise PackError(
                    f"{_address(req.full_url)}: sends to {shortened(printable(newurl))}, not https: refused"
                )
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler(),
        request.HTTPSHandler(),
        OnlyHttps(),
        request.HTTPDefaultErrorHandler(),
        request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _from_git(source: str) -> Fetched:
    match = _GIT.match(source)
    if match is None:
        raise PackError(
            f"{shortened(source)}: write git+URL@COMMIT, or git+URL@COMMIT#PATH where it holds more than one pack"
        )
    url, commit, path = match["url"], match["commit"].lower(), match["path"]
    if len(commit) not in (40, 64):
        raise PackError(
            f"{shortened(source)}: {commit}: give the whole hash of the commit: git rev-parse HEAD"
        )
    where = f"{_git_address(url)}@{commit[:12]}"
    if path is not None and (path.startswith(("/", "-")) or ".." in path.split("/")):
        raise PackError(f"{where}: {path}: is no path in a repository")
    with tempfile.TemporaryDirectory(prefix="forge-git-") as folder:
        git = _Git(Path(folder), where)
        git.run("init", "--quiet", "--bare", "--template=", "--", folder)
        git.run(
            *(
                "fetch",
                "--quiet",
                "--depth=1",
                "--no-tags",
                "--no-recurse-submodules",
                "--no-write-fetch-head",
            ),
            *("--no-auto-maintenance", "--upload-pack=git-upload-pack", "--", url, commit),
        )
        if git.run("cat-file", "-t", commit).strip() != b"commit":
            raise PackError(f"{where}: is no commit: git rev-parse HEAD")
        if path is None:
            path = _only_pack(git.run("ls-tree", "-z", "--name-only", "--full-tree", commit), where)
        size = git.run("cat-file", "-s", f"{commit}:{path}")
        if int(size) > MAX_PACK_BYTES:
            raise PackError(f"{where}: {path}: is larger than {MAX_PACK_BYTES // 1024**2} MiB: it is no pack")
        content = git.run("cat-file", "blob", f"{commit}:{path}")
    return Fetched(content, f"{where}#{path}", Path(path).name)


def _git_address(url: str) -> str:
    """Return the address of a repository as messages show it, without a password.

    Raises:
        PackError: it is of a kind that is not taken: `ext::` and its like run commands, `http` and `git` are not safe.
    """
    shown = shortened(re.sub(r"//[^/@]*@", "//", url))
    scheme, colon, rest = url.partition("://")
    if not colon or scheme not in _GIT_PROTOCOLS:
        raise PackError(
            f"git+{shown}: is no address that packs are taken from: "
            "git+https://..., git+ssh://... or git+file:///..."
        )
    host = rest.rpartition("@")[2] if "@" in rest.partition("/")[0] else rest
    if host.startswith("-") or rest.startswith("-") or "/-" in rest or "::" in url:
        raise PackError(
            f"git+{shown}: has a part that begins with - or holds ::, which git may take otherwise: refused"
        )
    if scheme == "file" and not rest.startswith("/"):
        raise PackError(f"git+{shown}: write git+file:///PATH")
    return f"git+{shown}"


def _only_pack(listing: bytes, where: str) -> str:
    names = [name for name in listing.decode("utf-8", "replace").split("\0") if name.endswith(SUFFIX)]
    if len(names) != 1:
        there = "no pack" if not names else f"{len(names)} packs"
        raise PackError(f"{where}: has {there} at its top: name one: git+URL@COMMIT#PATH")
    return names[0]


class _Git:
    """The user's own git on a bare repository that is thrown away: nothing is checked out, no hook or filter runs."""

    def __init__(self, folder: Path, where: str) -> None:
        self._folder = folder
        self._where = where

    def run(self, *arguments: str) -> bytes:
        """Run a git command and return its output. PackError where it fails."""
        safe = [
            *("-c", f"core.hooksPath={os.devnull}"),
            *("-c", "core.fsmonitor=false"),
            *("-c", "fetch.fsckObjects=true"),
            *("-c", "submodule.recurse=false"),
        ]
        environment = {name: value for name, value in os.environ.items() if name not in _GIT_LOCAL}
        # Wins over any setting; redirections and what a server suggests are held to it too.
        environment["GIT_ALLOW_PROTOCOL"] = ":".join(_GIT_PROTOCOLS)
        try:
            done = subprocess.run(
                ["git", *safe, f"--git-dir={self._folder}", *arguments],
                cwd=self._folder,
                env=environment,
                capture_output=True,
                timeout=DEADLINE_S,
                preexec_fn=_limit_files,
            )
        except FileNotFoundError:
            raise PackError("git: is not on this machine: install it, or fetch the pack yourself") from None
        except subprocess.TimeoutExpired:
            raise PackError(f"{self._where}: takes longer than {DEADLINE_S} s: try again later") from None
        if done.returncode != 0:
            lines = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
            reason = printable(re.sub(r"//[^/@\s]*@", "//", lines[-1])) if lines else "it says not why"
            raise PackError(f"{self._where}: git fails: {shortened(reason, 160)}")
        return done.stdout


def _limit_files() -> None:
    """Keep a repository from filling the disk: git may write no file larger than this."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_GIT_FILE_BYTES, MAX_GIT_FILE_BYTES))
