"""The pages beside the README: what they name is there, and the first model is trained as its page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.run.small import write_documents

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").glob("*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path) if path else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {_anchor(heading) for heading in headings}, target


def _anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def test_the_files_named_to_contributors_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:forge|tests|conf|schemas|docs|benchmarks)/[^`\s]*)`", text)
    assert len(named) > 20
    for name in named:
        inner = re.fullmatch(r"(.*)\{(.*)\}(.*)", name)
        for path in [f"{inner[1]}{part}{inner[3]}" for part in inner[2].split(",")] if inner else [name]:
            if not re.search(r"NAME|CHIP", path):
                assert (ROOT / path).exists(), path


def test_the_failures_described_are_said_in_those_words() -> None:
    source = "\n".join(file.read_text(encoding="utf-8") for file in sorted((ROOT / "forge").rglob("*.py")))
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # words of one line that the code writes over two
    source = source.replace("there is no {noun}", "there is no recipe")
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?:[^`|]*)`([^`]+)`", page, re.MULTILINE)
    assert len(rows) > 8
    for said in rows:
        for piece in said.split("..."):
            words = piece.strip(" :,;()")
            assert words in source, f"{said}: {words!r} is in no message"


@pytest.mark.slow
def test_the_first_model_is_made_as_its_page_says(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "first-model.md").read_text(encoding="utf-8")
    documents = write_documents(tmp_path / "documents")
    (recipe,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    install, *commands = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    (client,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert ".venv/bin/pip install -e '.[verify]'" in install  # this environment was made so

    programs = tmp_path / "bin"
    programs.mkdir()
    for program, entry in {"forge": "main", "forge-run": "run_main"}.items():
        script = f"#!{sys.executable}\nfrom forge.cli.main import {entry}\n{entry}()\n"
        (programs / program).write_text(script)
        (programs / program).chmod(0o755)
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    (tmp_path / "recipes").mkdir()
    # The folder of this test is smaller than anybody's.
    small = recipe.replace("vocab_size: 1024", "vocab_size: 320").replace("epochs: 4", "epochs: 1")
    (tmp_path / "recipes" / "mine.yaml").write_text(small)
    for command in commands:
        done = subprocess.run(
            ["bash", "-ec", command.replace("/my/folder", str(documents))],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    answered = subprocess.run(
        [sys.executable, "-c", client], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert answered.returncode == 0, answered.stderr
    assert answered.stdout.strip()
