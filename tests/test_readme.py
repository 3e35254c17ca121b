"""The commands of the README and of docs: each is run here, or named here with the test that runs it.

What a page shows is what comes.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TOP_TO_BOTTOM = {"packs.md"}
"""Pages whose commands build on each other: tests/recipes/test_page.py runs this one."""
PAGES = [
    README,
    *(
        page.read_text(encoding="utf-8")
        for page in sorted((ROOT / "docs").glob("*.md"))
        if page.name not in TOP_TO_BOTTOM
    ),
]

ELSEWHERE = {
    "make demo": "installs and takes minutes: tests/run/test_whole.py runs the same path on a small folder",
    "make test": "runs this test",
    "make proof": "trains for minutes: tests/benchmarks/test_proof.py does all of it with a smaller company and model",
    "python3 -m venv .venv": "tests/test_wheel.py makes an environment and installs forge",
    ".venv/bin/pip install -e '.[demo]'": "tests/test_wheel.py",
    ".venv/bin/forge-run +recipe=legal_tiny": "tests/run/test_whole.py",
    "forge-run +recipe=legal_tiny data.path=/my/folder": "tests/run/test_whole.py",
    "forge-run -m +recipe=legal_tiny train.learning_rate=1e-3,3e-4 model=llama_3m,llama_25m": (
        "tests/run/test_whole.py and tests/cli/test_sweeping.py do the same with small runs"
    ),
    "forge-run -m +recipe=legal_tiny sweep=optuna sweep.trials=20 "
    "'train.learning_rate=tag(log,interval(1e-4,1e-2))' train.weight_decay=0,0.1": "tests/cli/test_sweeping.py",
    "forge export runs/legal_tiny-ed4c76a4b3bf --to gguf,ollama": "tests/run/test_whole.py",
}

PLAN_ID = re.compile(r"\b[0-9a-f]{12}\b")


def commands() -> dict[str, str]:
    """Return each command of the pages with the output shown below it, '' where none is."""
    found: dict[str, str] = {}
    for block in re.findall(r"```console\n(.*?)```", "\n".join(PAGES), re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            found[command] = shown
    return found


RUN_HERE = {command: shown for command, shown in commands().items() if command not in ELSEWHERE}


def test_every_command_named_elsewhere_is_still_there() -> None:
    assert set(ELSEWHERE) <= set(commands())


def test_there_are_commands_to_run() -> None:
    assert any(command.startswith("forge plan") for command in RUN_HERE)


@pytest.mark.parametrize("command", sorted(RUN_HERE))
def test_a_command_shows_what_the_page_shows(command: str, tmp_path: Path) -> None:
    program, *arguments = shlex.split(command)
    assert program in ("forge", "forge-run")
    entry = {"forge": "main", "forge-run": "run_main"}[program]
    done = subprocess.run(
        [sys.executable, "-c", f"from forge.cli.main import {entry}; {entry}()", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    shown = RUN_HERE[command]
    assert done.returncode in (0, 2, 3)
    came = PLAN_ID.sub("PLAN", done.stderr + done.stdout)
    assert [line.rstrip() for line in came.splitlines()] == [
        line.rstrip() for line in PLAN_ID.sub("PLAN", shown).splitlines()
    ]


def test_the_recipe_shown_composes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from forge.spec.compose import compose_spec

    (text,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "mine.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    spec = compose_spec(["+recipe=mine"])
    assert spec.choices["model"] == "llama_25m"
    assert spec.values["train"]["learning_rate"] == 2.0e-3


def test_the_tree_shown_is_there() -> None:
    (tree,) = re.findall(r"```\n(forge/\n.*?)```", README, re.DOTALL)
    for line in tree.splitlines():
        name = line.split()[0]
        assert (ROOT / ("forge" if line.startswith("  ") else "") / name).is_dir(), line
