"""Packs from an https server and from git repositories, real ones on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from forge.errors import PackError
from forge.recipes.sources import fetch
from forge.spec.pack_format import MAX_PACK_BYTES
from tests.recipes.kit import Kit

PACK = b"the bytes of a pack"
SHA256 = hashlib.sha256(PACK).hexdigest()
OTHER_SHA256 = "0" * 64

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/to/"):
            self.send_response(302)
            targets = {
                "/to/https": "/acme-1.2.0.forge",
                "/to/http": "http://127.0.0.1:1/acme-1.2.0.forge",
                "/to/file": "file:///etc/passwd",
                "/to/itself": "/to/itself",
            }
            self.send_header("Location", targets[path])
            self.end_headers()
            return
        if path == "/gone":
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(PACK if path.endswith(".forge") else bytes(MAX_PACK_BYTES + 1))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for this machine, with its key in the same file."""
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", folder / "key.pem", "-out", folder / "own.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    (folder / "both.pem").write_bytes((folder / "own.pem").read_bytes() + (folder / "key.pem").read_bytes())
    return folder / "both.pem"


@pytest.fixture(scope="module")
def address(certificate: Path) -> Iterator[str]:
    """An https server."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://localhost:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's machine knows the server's certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.with_name("own.pem")))
    for variable in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)


@needs_openssl
@pytest.mark.parametrize("path", ["/acme-1.2.0.forge", "/to/https"])
def test_a_pack_comes_from_an_address_with_its_hash(path: str, address: str, trusted: None) -> None:
    fetched = fetch(f"{address}{path}", SHA256)
    assert fetched.content == PACK
    assert fetched.where == f"{address}{path}"


@needs_openssl
@pytest.mark.parametrize(
    ("path", "sha256", "says"),
    [
        ("/acme-1.2.0.forge", None, "needs the hash that it must have: --sha256"),
        ("/acme-1.2.0.forge", OTHER_SHA256, f"has the hash {SHA256}, not {OTHER_SHA256}"),
        ("/acme-1.2.0.forge", SHA256.upper(), "--sha256: is 64 hexadecimal digits, small"),
        ("/to/http", SHA256, "sends to http://127.0.0.1:1/acme-1.2.0.forge, not https"),
        ("/to/file", SHA256, "answers 302"),
        ("/to/itself", SHA256, "answers 302"),
        ("/gone", SHA256, "answers 404"),
        ("/endless", SHA256, "sends more than 8 MiB"),
    ],
)
def test_what_is_not_taken_from_an_address(
    path: str, sha256: str | None, says: str, address: str, trusted: None
) -> None:
    with pytest.raises(PackError) as caught:
        fetch(f"{address}{path}", sha256)
    (line,) = caught.value.lines
    assert says in line


@needs_openssl
def test_a_server_that_this_machine_does_not_know_is_refused(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with pytest.raises(PackError, match="CERTIFICATE_VERIFY_FAILED"):
        fetch(f"{address}/acme-1.2.0.forge", SHA256)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("http://example.org/acme-1.2.0.forge", "http: is no way to fetch a pack"),
        ("ftp://example.org/acme-1.2.0.forge", "ftp: is no way to fetch a pack"),
        ("file:///etc/passwd", "file: is no way to fetch a pack"),
        ("data:text/plain,x", "data: is no way to fetch a pack"),
        ("https://", "names no host"),
        ("https://[x/", "is no address"),
        ("https://user:secret@127.0.0.1:1/x.forge", "https://127.0.0.1:1/x.forge: "),
        ("nowhere.forge", "nowhere.forge: no such file"),
        ("x\x1b[2J", "holds control characters"),
    ],
)
def test_what_is_no_source_is_one_line(source: str, says: str, kit: Kit) -> None:
    with pytest.raises(PackError) as caught:
        fetch(source, SHA256)
    (line,) = caught.value.lines
    assert says in line
    assert "secret" not in line
    assert line.isprintable()


# git


@pytest.fixture
def repository(kit: Kit) -> Path:
    """A repository that does what it can: hooks, filters, a submodule; its top has one pack, a folder two more."""
    folder = kit.folder / "repository"
    (folder / "old").mkdir(parents=True)
    (folder / "acme-1.2.0.forge").write_bytes(PACK)
    (folder / "old/acme-1.0.0.forge").write_bytes(b"old")
    (folder / "old/link.forge").symlink_to("/etc/passwd")
    (folder / ".gitattributes").write_text("*.forge filter=evil\n")
    (folder / ".gitmodules").write_text(
        f'[submodule "x"]\n\tpath = x\n\turl = ext::touch {kit.folder}/CANARY\n'
    )
    _git(folder, "init", "--quiet", "--initial-branch=main")
    _git(folder, "add", ".")
    _git(folder, "commit", "--quiet", "-m", "x")
    return folder


def _git(folder: Path, *arguments: str) -> str:
    names = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *names, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_pack_comes_from_a_commit_and_nothing_of_the_repository_runs(
    kit: Kit, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = _git(repository, "rev-parse", "HEAD")
    (repository / "acme-1.2.0.forge").write_bytes(b"moved on")
    _git(repository, "commit", "--quiet", "-am", "y")
    canary = kit.folder / "CANARY"
    hooks = kit.folder / "hooks"
    hooks.mkdir()
    for hook in ("post-checkout", "post-merge", "reference-transaction", "pre-auto-gc"):
        (hooks / hook).write_text(f"#!/bin/sh\ntouch {canary}\n")
        (hooks / hook).chmod(0o755)
    (kit.folder / "home/.gitconfig").write_text(
        f"[core]\n\thooksPath = {hooks}\n\tfsmonitor = touch {canary}\n"
        f'[filter "evil"]\n\tsmudge = touch {canary}\n[protocol "ext"]\n\tallow = always\n'
    )
    monkeypatch.setenv("GIT_DIR", str(kit.folder / "elsewhere"))
    fetched = fetch(f"git+file://{repository}@{commit}", SHA256)
    assert fetched.content == PACK
    assert fetched.file_name == "acme-1.2.0.forge"
    assert fetch(f"git+file://{repository}@{commit}#old/acme-1.0.0.forge", None).content == b"old"
    # Of a link git stores where it leads, and that is what comes: nothing is followed.
    assert fetch(f"git+file://{repository}@{commit}#old/link.forge", None).content == b"/etc/passwd"
    assert not canary.exists()
    assert list((kit.folder / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("git+{url}@main", "write git+URL@COMMIT"),
        ("git+{url}@{short}", "give the whole hash of the commit"),
        ("git+{url}", "write git+URL@COMMIT"),
        ("git+{url}@" + "0" * 40, "git fails: "),
        ("git+{url}@{tree}", "is no commit"),
        ("git+{url}@{commit}#nothing.forge", "git fails: "),
        ("git+{url}@{commit}#../x.forge", "is no path in a repository"),
        ("git+{url}@{commit}#/etc/passwd", "is no path in a repository"),
        ("git+{url}@{commit}#--help", "is no path in a repository"),
        ("git+{two}@{two_commit}", "has 2 packs at its top"),
        ("git+ext::touch {folder}/CANARY@{commit}", "is no address that packs are taken from"),
        ("git+ext::sh -c touch% {folder}/CANARY://x@{commit}", "is no address that packs are taken from"),
        ("git+--upload-pack=touch {folder}/CANARY@{commit}", "is no address that packs are taken from"),
        ("git+ssh://-oProxyCommand=touch%20{folder}/CANARY/x@{commit}", "has a part that begins with -"),
        ("git+ssh://me@-oProxyCommand=x/x@{commit}", "has a part that begins with -"),
        ("git+file:///{folder}/-x@{commit}", "has a part that begins with -"),
        ("git+http://example.org/x@{commit}", "is no address that packs are taken from"),
        ("git+git://example.org/x@{commit}", "is no address that packs are taken from"),
        ("git+{folder}/repository@{commit}", "is no address that packs are taken from"),
        ("git+git@example.org:x@{commit}", "is no address that packs are taken from"),
        ("git+file://host/x@{commit}", "write git+file:///PATH"),
    ],
)
def test_what_is_not_taken_from_git(source: str, says: str, kit: Kit, repository: Path) -> None:
    two = kit.folder / "two"
    shutil.copytree(repository, two)
    shutil.copy(two / "acme-1.2.0.forge", two / "acme-1.3.0.forge")
    _git(two, "add", ".")
    _git(two, "commit", "--quiet", "-m", "x")
    commit = _git(repository, "rev-parse", "HEAD")
    names = {
        "url": f"file://{repository}",
        "commit": commit,
        "short": commit[:12],
        "tree": _git(repository, "rev-parse", "HEAD^{tree}"),
        "two": f"file://{two}",
        "two_commit": _git(two, "rev-parse", "HEAD"),
        "folder": str(kit.folder),
    }
    with pytest.raises(PackError) as caught:
        fetch(source.format(**names), None)
    (line,) = caught.value.lines
    assert says in line
    assert line.isprintable()
    assert not (kit.folder / "CANARY").exists()
    assert list((kit.folder / "tmp").iterdir()) == []


def test_without_git_it_is_one_line(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(kit.folder))
    with pytest.raises(PackError, match="git: is not on this machine"):
        fetch(f"git+https://example.org/x@{'0' * 40}", None)
