"""docs/packs.md from top to bottom: each command builds on those before it, and shows what the page shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.recipes.kit import Kit, needs_ssh_keygen

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/packs.md").read_text(encoding="utf-8")

pytestmark = needs_ssh_keygen


def _masked(text: str) -> list[str]:
    """Return lines with what differs from key to key masked."""
    text = re.sub(r"SHA256:[A-Za-z0-9+/]+", "SHA256:...", text)
    text = re.sub(r"AAAA[A-Za-z0-9+/]+", "AAAA...", text)
    text = re.sub(r"\b[0-9a-f]{64}\b", "HASH", text)
    text = re.sub(r"\.yaml:\d+", ".yaml:LINE", text)
    return [re.sub(r" +", " ", line.rstrip()) for line in text.splitlines()]


def test_the_page_works_from_top_to_bottom(kit: Kit) -> None:
    home = kit.folder / "home"
    (home / ".ssh").mkdir()
    key = kit.key("ann")
    for suffix in ("", ".pub"):
        key.with_suffix(suffix).rename(home / f".ssh/id_ed25519{suffix}")
    (legal,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    for name, text in {"legal": legal, "base": "# The base.\nname: base\n"}.items():
        file = kit.project / f"my_recipes/recipes/{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (kit.folder / "bin").mkdir()
    program = kit.folder / "bin/forge"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m forge.cli.main "$@"\n')
    program.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "NO_COLOR": "1",
        "COLUMNS": "100",
    }
    commands = 0
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            assert command.split()[0] in ("forge", "tar", "ssh-keygen")
            done = subprocess.run(
                command, shell=True, cwd=kit.project, env=environment, capture_output=True, text=True
            )
            came = (done.stderr + done.stdout).replace(str(home), "~")
            assert _masked(came) == _masked(shown), command
            commands += 1
            if command.startswith("forge recipe verify"):
                public = (home / ".ssh/id_ed25519.pub").read_text().split()
                kit.allowed_signers.parent.mkdir(parents=True, exist_ok=True)
                line = f'ann@example.org namespaces="forge-pack" {public[0]} {public[1]}\n'
                kit.allowed_signers.write_text(line)
    assert commands == PAGE.count("\n$ ")
