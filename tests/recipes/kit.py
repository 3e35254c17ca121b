"""A folder to make, tamper with and install packs in: keys, a user's home, a project, recipes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from forge.cli.recipe_install_command import recipe_install
from forge.recipes.ssh_signature import NAMESPACE
from forge.spec.pack_format import MANIFEST, SIGNATURE, encode
from forge.spec.pack_manifest import json_bytes, make_manifest

needs_ssh_keygen = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="signatures are made and checked by ssh-keygen (OpenSSH)"
)

RECIPES = {
    "recipes/base.yaml": b"""\
# The base of both.
defaults:
  - override /tokenizer: bpe_4k
  - override /model: acme/small

name: base
train:
  tokens: 20_000
  global_batch_tokens: 1024
  sequence_length: 128
""",
    "recipes/legal.yaml": b"# For a test.\ndefaults:\n  - base\n\nname: legal\nseed: 7\n",
    "conf/model/small.yaml": b"# A small one.\ndefaults:\n  - /model/llama_3m\n\nlayers: 2\n",
}

EVIDENCE: dict[str, Any] = {
    "format": 1,
    "recipe": "legal",
    "changed_keys": ["train.tokens"],
    "forge_version": "0.1.0",
    "model": {"family": "llama", "parameters": 1_312_000, "sequence_length": 128},
    "hardware": {
        "device": "cpu",
        "gpu": "",
        "nodes": 1,
        "processes_per_node": 1,
        "precision": "fp32",
        "zero_stage": 1,
    },
    "training": {"steps": 8, "tokens": 8192},
    "tokens_per_second": {"predicted": 4000.0, "measured": 3500.0},
    "peak_memory_bytes": {"predicted": 759_679_040, "measured": 589_164_544},
    "training_time_s": {"predicted": 2.0, "measured": 2.3},
    "loss_curve": [[1, 6.2], [8, 5.3]],
    "held_out_curve": [],
    "evaluation": [{"name": "held_out_bits_per_byte", "value": 2.36}],
    "versions": {"python": "3.11.7", "torch": "2.13.0", "deepspeed": "0.19.8", "transformers": "5.24.0"},
}
"""Of a run of `legal`, as it should be."""


@dataclass(frozen=True)
class Kit:
    """Where a test of packs works."""

    folder: Path

    @property
    def project(self) -> Path:
        """The working directory."""
        return self.folder / "project"

    @property
    def packs(self) -> Path:
        """Where packs are installed."""
        return self.folder / "home/.local/share/forge/packs"

    @property
    def allowed_signers(self) -> Path:
        """The user's file of known keys."""
        return self.folder / "home/.config/forge/allowed_signers"

    def key(self, name: str, kind: str = "ed25519", passphrase: str = "") -> Path:
        """Return a private key, made where it is missing."""
        file = self.folder / f"keys/{name}"
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            options = ["-q", "-t", kind, "-N", passphrase, "-C", f"{name}@example.org", "-f", str(file)]
            subprocess.run(["ssh-keygen", *options], check=True)
        return file

    def fingerprint(self, name: str) -> str:
        """Return the fingerprint of a key as ssh-keygen shows it."""
        shown = subprocess.run(
            ["ssh-keygen", "-l", "-f", str(self.key(name))], check=True, capture_output=True, text=True
        )
        return shown.stdout.split()[1]

    def know(self, name: str, options: str = f'namespaces="{NAMESPACE}"') -> None:
        """Add a key to the known ones."""
        self.allowed_signers.parent.mkdir(parents=True, exist_ok=True)
        public = self.key(name).with_suffix(".pub").read_text().split()
        with self.allowed_signers.open("a") as file:
            file.write(f"{name}@example.org {options} {public[0]} {public[1]}\n")

    def sign(self, message: bytes, key: str, namespace: str = NAMESPACE) -> bytes:
        """Sign as a person does: with ssh-keygen, by hand."""
        command = ["ssh-keygen", "-Y", "sign", "-n", namespace, "-f", str(self.key(key))]
        return subprocess.run(command, input=message, capture_output=True, check=True).stdout

    def members(
        self,
        files: Mapping[str, bytes] = RECIPES,
        *,
        name: str = "acme",
        version: str = "1.2.0",
        key: str | None = "maker",
        manifest: bytes | None = None,
    ) -> dict[str, bytes]:
        """Return the files of a pack whose signature is right, whatever else is wrong with it."""
        manifest = manifest or make_manifest(name, version, dict(files))
        signature = {} if key is None else {SIGNATURE: self.sign(manifest, key)}
        return {MANIFEST: manifest, **signature, **files}

    def write(self, name: str, content: bytes | Mapping[str, bytes]) -> Path:
        """Write a pack into the project."""
        file = self.project / name
        file.write_bytes(content if isinstance(content, bytes) else encode(content))
        return file

    def install(self, file: Path | str, trust: str = "", allow_unsigned: bool = False) -> None:
        """Do what `forge recipe install FILE` does."""
        recipe_install(str(file), None, None, trust, allow_unsigned)

    def lock(self, version: str, sha256: str) -> None:
        """Pin acme in the project's forge.lock."""
        pin = {"name": "acme", "version": version, "sha256": sha256}
        (self.project / "forge.lock").write_bytes(json_bytes({"format": 1, "packs": [pin]}))

    def everything(self) -> dict[str, str]:
        """Return all files and folders of the user, by path, with the hash of each."""
        return {
            str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            if path.is_file()
            else ""
            for path in sorted(self.folder.rglob("*"))
            if path.name != ".lock"
        }


def make_kit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Kit:
    """Return a kit in `folder`, with this process's user living there."""
    for inner in ("home", "project", "tmp"):
        (folder / inner).mkdir()
    monkeypatch.setenv("HOME", str(folder / "home"))
    for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "FORGE_RECIPE_PATH", "SSH_AUTH_SOCK"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(folder / "tmp"))
    monkeypatch.chdir(folder / "project")
    os.umask(0o022)
    return Kit(folder)
