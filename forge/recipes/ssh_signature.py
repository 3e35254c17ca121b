"""Signatures of packs: SSHSIG, made and checked by the user's own `ssh-keygen -Y`.

So the key that people have is enough, agents and hardware keys work, expiry and `namespaces=` in allowed_signers mean
what they mean to git, and no cryptography is written here. Where ssh-keygen is missing nothing
is taken for verified.
"""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from forge.errors import PackError
from forge.spec.text import printable, shortened

NAMESPACE = "forge-pack"
MAX_SIGNATURE_BYTES = 32 * 1024

_ARMOR = re.compile(rb"-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]+)\n-----END SSH SIGNATURE-----\n?\Z")
_MAGIC = b"SSHSIG\x00\x00\x00\x01"
_KEY_TYPES = {
    "ssh-ed25519": "ED25519",
    "ssh-rsa": "RSA",
    "ecdsa-sha2-nistp256": "ECDSA",
    "ecdsa-sha2-nistp384": "ECDSA",
    "ecdsa-sha2-nistp521": "ECDSA",
    "sk-ssh-ed25519@openssh.com": "ED25519-SK",
    "sk-ecdsa-sha2-nistp256@openssh.com": "ECDSA-SK",
}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The public key that a signature was made with."""

    kind: str
    """`ssh-ed25519`, as in a line of allowed_signers."""
    base64: str
    fingerprint: str
    """`SHA256:...`, as ssh-keygen -l shows it."""

    def __str__(self) -> str:
        return f"{_KEY_TYPES.get(self.kind, self.kind)} {self.fingerprint}"

    @property
    def signers_line(self) -> str:
        """The line of allowed_signers that makes the key known; WHO is for the user to fill in."""
        return f'WHO namespaces="{NAMESPACE}" {self.kind} {self.base64}'


def sign(message: bytes, key: Path) -> bytes:
    """Sign a message.

    Args:
        message: what is signed.
        key: a private key, or the public key of one that an agent or a hardware token holds.

    Raises:
        PackError: there is no such key, or it does not sign.
    """
    if not key.is_file():
        raise PackError(f"{key}: no such key: name your SSH key, as --key ~/.ssh/id_ed25519")
    with tempfile.TemporaryDirectory(prefix="forge-sign-") as folder:
        file = Path(folder, "manifest.json")
        file.write_bytes(message)
        # Of a file, not of standard input: that stays the terminal's, on which a passphrase is asked for.
        done = _ssh_keygen(["-Y", "sign", "-n", NAMESPACE, "-f", str(key.absolute()), str(file)], None)
        if done.returncode != 0:
            raise PackError(f"{key}: does not sign: {_reason(done)}")
        return file.with_name("manifest.json.sig").read_bytes()


def signing_key(signature: bytes, where: str) -> SigningKey:
    """Return the key that a signature says it was made with; `check_signature` says whether that is so.

    Raises:
        PackError: it is no signature, or one for something else than packs.
    """
    match = _ARMOR.match(signature) if len(signature) <= MAX_SIGNATURE_BYTES else None
    try:
        content = base64.b64decode(match[1].replace(b"\n", b""), validate=True) if match else b""
        key, rest = _string(content.removeprefix(_MAGIC)) if content.startswith(_MAGIC) else (b"", b"")
        namespace, _ = _string(rest)
        kind, _ = _string(key)
        name = kind.decode("ascii")
    except ValueError:
        raise PackError(f"{where}: its signature is no SSH signature: refused") from None
    if namespace != NAMESPACE.encode():
        shown = shortened(printable(namespace.decode("utf-8", "replace")))
        raise PackError(f"{where}: its signature is for '{shown}', not for '{NAMESPACE}': refused")
    if name not in _KEY_TYPES:
        raise PackError(f"{where}: is signed with a key of type {shortened(printable(name))}: refused")
    digest = base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")
    return SigningKey(name, base64.b64encode(key).decode(), f"SHA256:{digest}")


def check_signature(message: bytes, signature: bytes, where: str) -> None:
    """Check that a signature is that of its key over the message, whoever that key belongs to.

    Raises:
        PackError: it is not, or ssh-keygen is missing.
    """
    with _as_file(signature) as file:
        done = _ssh_keygen(["-Y", "check-novalidate", "-n", NAMESPACE, "-s", file], message)
    if done.returncode != 0:
        raise PackError(f"{where}: its signature is not over this manifest: refused")


def known_signer(message: bytes, signature: bytes, allowed_signers: Path) -> str:
    """Return whom allowed_signers names for the key of a signature; '' where it names nobody, or not for packs now."""
    if not allowed_signers.is_file():
        return ""
    with _as_file(signature) as file:
        allowed = str(allowed_signers.absolute())
        found = _ssh_keygen(["-Y", "find-principals", "-s", file, "-f", allowed], b"")
        for principal in found.stdout.decode("utf-8", "replace").splitlines():
            verify = ["-Y", "verify", "-n", NAMESPACE, "-s", file, "-f", allowed, "-I", principal]
            if _ssh_keygen(verify, message).returncode == 0:
                return printable(principal)
    return ""


@contextmanager
def _as_file(signature: bytes) -> Iterator[str]:
    """Keep a signature in a file for as long as a block lasts: ssh-keygen reads it from nowhere else."""
    with tempfile.NamedTemporaryFile(prefix="forge-signature-") as file:
        file.write(signature)
        file.flush()
        yield file.name


def _ssh_keygen(arguments: list[str], message: bytes | None) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["ssh-keygen", *arguments], input=message, capture_output=True, check=False)
    except FileNotFoundError:
        raise PackError(
            "ssh-keygen: is not on this machine, and signs and checks packs: install OpenSSH 8.2 or later"
        ) from None


def _reason(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    return (
        shortened(printable(lines[-1]), 120) if lines else f"ssh-keygen ended with status {done.returncode}"
    )


def _string(content: bytes) -> tuple[bytes, bytes]:
    """Return the first string of SSH's wire format (RFC 4251, section 5) and what follows; ValueError without one."""
    size_bytes = int.from_bytes(content[:4], "big")
    if len(content) < 4 + size_bytes or len(content) < 4:
        raise ValueError("ends early")
    return content[4 : 4 + size_bytes], content[4 + size_bytes :]
