"""What forge signs ssh-keygen verifies, and the other way round; the real one."""

from __future__ import annotations

import os
import subprocess

import pytest

from forge.errors import PackError
from forge.recipes.ssh_signature import (
    NAMESPACE,
    check_signature,
    known_signer,
    sign,
    signing_key,
)
from tests.recipes.kit import Kit, needs_ssh_keygen

pytestmark = needs_ssh_keygen

MESSAGE = b'{"name": "acme"}\n'
KINDS = ["ed25519", "ecdsa", "rsa"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_forge_signs_ssh_keygen_verifies(kind: str, kit: Kit) -> None:
    key = kit.key("ann", kind)
    signature = kit.folder / "manifest.json.sig"
    signature.write_bytes(sign(MESSAGE, key))
    kit.know("ann")
    command = ["ssh-keygen", "-Y", "verify", "-n", NAMESPACE, "-I", "ann@example.org"]
    command += ["-f", str(kit.allowed_signers), "-s", str(signature)]
    assert subprocess.run(command, input=MESSAGE, capture_output=True).returncode == 0
    assert subprocess.run(command, input=MESSAGE + b"x", capture_output=True).returncode != 0


@pytest.mark.parametrize("kind", KINDS)
def test_what_ssh_keygen_signs_forge_verifies(kind: str, kit: Kit) -> None:
    kit.key("ann", kind)
    signature = kit.sign(MESSAGE, "ann")
    assert signing_key(signature, "x").fingerprint == kit.fingerprint("ann")
    check_signature(MESSAGE, signature, "x")
    assert known_signer(MESSAGE, signature, kit.allowed_signers) == ""
    kit.know("ann")
    assert known_signer(MESSAGE, signature, kit.allowed_signers) == "ann@example.org"
    assert known_signer(MESSAGE + b"x", signature, kit.allowed_signers) == ""
    with pytest.raises(PackError, match="its signature is not over this manifest"):
        check_signature(MESSAGE + b"x", signature, "x")


def test_the_line_that_is_shown_makes_a_key_known(kit: Kit) -> None:
    signature = kit.sign(MESSAGE, "ann")
    kit.allowed_signers.parent.mkdir(parents=True)
    line = signing_key(signature, "x").signers_line
    kit.allowed_signers.write_text(line.replace("WHO", "ann@example.org") + "\n")
    assert known_signer(MESSAGE, signature, kit.allowed_signers) == "ann@example.org"


def test_an_agent_signs_with_the_public_key_at_hand(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    key = kit.key("ann")
    agent = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    words = dict(word.split("=", 1) for word in agent.replace("\n", " ").split("; ") if "=" in word)
    monkeypatch.setenv("SSH_AUTH_SOCK", words["SSH_AUTH_SOCK"])
    try:
        subprocess.run(["ssh-add", "-q", str(key)], check=True, capture_output=True)
        key.unlink()
        check_signature(MESSAGE, sign(MESSAGE, key.with_suffix(".pub")), "x")
    finally:
        pid = next(word.split("=")[1] for word in agent.split("; ") if "SSH_AGENT_PID=" in word)
        os.kill(int(pid), 15)


def test_a_key_that_is_not_there_or_no_key_is_one_line(kit: Kit) -> None:
    with pytest.raises(PackError, match="no such key: name your SSH key"):
        sign(MESSAGE, kit.folder / "nowhere")
    (kit.folder / "text").write_text("not a key\n")
    with pytest.raises(PackError, match="does not sign: ") as caught:
        sign(MESSAGE, kit.folder / "text")
    assert len(caught.value.lines) == 1


def test_without_ssh_keygen_nothing_is_verified(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    signature = kit.sign(MESSAGE, "ann")
    kit.know("ann")
    monkeypatch.setenv("PATH", str(kit.folder))
    with pytest.raises(PackError, match="ssh-keygen: is not on this machine"):
        check_signature(MESSAGE, signature, "x")
    with pytest.raises(PackError, match="ssh-keygen: is not on this machine"):
        known_signer(MESSAGE, signature, kit.allowed_signers)


@pytest.mark.parametrize(
    "signature",
    [b"", b"-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n",
     b"-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAAAf////8=\n-----END SSH SIGNATURE-----\n",
     b"-----BEGIN SSH SIGNATURE-----\n" + b"A" * 100_000 + b"\n-----END SSH SIGNATURE-----\n"],
)  # fmt: skip
def test_what_is_no_signature_is_one_line(signature: bytes) -> None:
    with pytest.raises(PackError, match="its signature is no SSH signature"):
        signing_key(signature, "x")
