"""Completion at Tab: what is answered, what it is answered from, and that real shells take it."""

from __future__ import annotations

import os
import pty
import select
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from forge.cli.completion import candidates
from forge.cli.declared import declared
from forge.cli.main import COMMANDS, GROUPS
from forge.cli.program import command_function
from forge.spec.schema import spec_schema
from forge.spec.types import dotted

ROOT = Path(__file__).resolve().parents[2]
GENEROUS_S = 240
NAMES = [*COMMANDS, *(f"{group}_{name}" for group, (_, commands) in GROUPS.items() for name in commands)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FORGE_RECIPE_PATH", raising=False)
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "ours.yaml").write_text("seed: 1\n")
    (tmp_path / "my documents").mkdir()
    (tmp_path / ".hidden").mkdir()
    return tmp_path


def words(line: str) -> list[str]:
    return [word for word, _ in candidates(line)]


@pytest.mark.parametrize(
    ("line", "some"),
    [
        ("forge ", {"plan", "run", "audit", "recipe", "completion"}),
        ("forge rec", {"recipe"}),
        ("forge recipe ", {"list", "show", "diff", "new"}),
        ("forge plan --", {"--json", "--why", "--diff", "--output"}),
        ("forge-run -", {"-m", "--multirun", "-q", "--quiet", "--accept-drift"}),
        ("forge plan ha", {"hardware=", "hardware."}),
        ("forge plan hardware=8xh", {"hardware=8xh100", "hardware=8xh200"}),
        ("forge-run model=llama_7", {"model=llama_7b"}),
        ("forge-run rec", {"recipe="}),
        ("forge-run +rec", {"+recipe="}),
        ("forge-run +recipe=legal_7", {"+recipe=legal_7b", "+recipe=legal_7b_long"}),
        ("forge-run recipe=ou", {"recipe=ours"}),
        ("forge run recipe=ou", {"recipe=ours"}),
        ("forge-run recipe=ours se", {"seed="}),
        ("forge-run train.learning_rate_", {"train.learning_rate_schedule="}),
        ("forge-run evaluate.gates.", {"evaluate.gates.min_known_exact_fraction="}),
        ("forge-run train.optimizer=", {"train.optimizer=adamw", "train.optimizer=muon"}),
        (
            "forge-run -m train.optimizer=adamw,",
            {"train.optimizer=adamw,adamw", "train.optimizer=adamw,muon"},
        ),
        ("forge-run -m model=llama_3m,llama_1", {"model=llama_3m,llama_1b", "model=llama_3m,llama_125m"}),
        ("forge-run model.tied_embeddings=", {"model.tied_embeddings=false", "model.tied_embeddings=true"}),
        ("forge plan --why train.opt", {"train.optimizer", "train.optimizer_states"}),
        ("forge plan --why tr", {"train"}),
        ("forge plan --output m", {"my documents/"}),
        ("forge recipe show legal_7b ha", {"hardware="}),
        ("forge recipe diff legal_7b o", {"ours"}),
        ("forge recipe new mine --from ou", {"ours"}),
        ("forge audit m", {"my documents/"}),
        ("forge audit recipes m", {"my documents/"}),
        ("forge-run data.path=m", {"data.path=my documents/"}),
        ("forge-run data.path='m", {"data.path=my documents/"}),
        ("forge-run data.path=my\\ ", {"data.path=my documents/"}),
        ("forge-run model.init_from=recipes/", {"model.init_from=recipes/ours.yaml"}),
        ("forge completion ", {"bash", "zsh", "fish"}),
        ("/opt/venv/bin/forge-run recipe=ou", {"recipe=ours"}),
    ],
)
def test_what_may_follow(line: str, some: set[str], here: Path) -> None:
    found = words(line)
    assert some <= set(found)
    assert found == sorted(found)


@pytest.mark.parametrize(
    "line",
    [
        "forge nonsense ",
        "forge recipe nonsense ",
        "forge recipe list x",
        "forge recipe new ",
        "forge plan zzz",
        "forge plan zzz=",
        "forge-run hardware=zzz",
        "forge-run data.path=/nowhere/at/all/",
        "forge-run data.path=~nobody/",
        "forge-run train.learning_rate=",
        "forge plan --why zzz",
        "",
        "'",
    ],
)
def test_nothing_follows(line: str, here: Path) -> None:
    assert words(line) == []


def test_every_key_every_option_and_every_recipe_is_offered(here: Path) -> None:
    schema = spec_schema()
    for group in schema.groups:
        offered = set(words(f"forge plan {group}."))
        assert offered == {f"{key}=" for key in map(dotted, schema.leaves) if key.startswith(f"{group}.")}
    shipped = {file.stem for file in (ROOT / "recipes").glob("*.yaml")}
    assert {word.removeprefix("recipe=") for word in words("forge plan recipe=")} == shipped | {"ours"}


def test_keys_say_what_they_mean(here: Path) -> None:
    assert ("train.learning_rate=", "Learning rate") in candidates("forge plan train.learning_ra")


def test_hidden_files_wait_for_their_dot(here: Path) -> None:
    assert words("forge audit ") == ["my documents/", "recipes/"]
    assert words("forge audit .") == [".hidden/"]


def test_a_name_that_a_terminal_would_act_on_is_not_offered(here: Path) -> None:
    (here / "\x1b[31mred").mkdir()
    (here / "two\nlines").mkdir()
    done = _ask("forge audit ", here)
    assert done.stdout == "my documents/\nrecipes/\n"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_read_from_the_source_is_what_typer_takes(name: str) -> None:
    app = typer.Typer(add_completion=False)
    app.command()(command_function(name))
    parameters = typer.main.get_command(app).params
    options = {opt for each in parameters for opt in each.opts if opt.startswith("-")}
    found = declared(name)
    assert {each for option in found.options for each in option.names} == options - {"--help"}
    valued = {opt for each in parameters if not getattr(each, "is_flag", False) for opt in each.opts}
    assert {each for option in found.options for each in option.names if option.metavar} == options & valued
    assert found.summary
    arguments = [str(each.metavar) for each in parameters if not each.opts[0].startswith("-")]
    assert list(found.arguments) == [metavar for metavar in arguments if metavar != "[OVERRIDE]..."]


def test_answering_imports_neither_hydra_nor_typer_nor_anything_heavy(here: Path) -> None:
    code = (
        "import sys\n"
        "sys.argv = ['forge', '__complete', 'forge plan hardware=8xh']\n"
        "from forge.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as ending:\n"
        "    assert ending.code == 0\n"
        "names = {'hydra', 'omegaconf', 'torch', 'typer', 'rich', 'jsonschema', 'numpy', 'pyarrow', 'transformers'}\n"
        "print('loaded:', sorted(names & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True, check=True)
    assert "hardware=8xh100" in done.stdout
    assert done.stdout.endswith("loaded: []\n")


def test_a_folder_that_is_gone_is_no_traceback(tmp_path: Path) -> None:
    program = (
        f"mkdir gone; cd gone; rmdir ../gone; {sys.executable} -m forge.cli.main __complete 'forge plan x'"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("", "")


def _ask(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "forge.cli.main", "__complete", line]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


SHELLS = {
    "bash": ["--norc", "--noprofile", "-i"],
    "zsh": ["-f", "-i"],
    "fish": ["--no-config", "-i"],
}
SET_UP = {
    "bash": "PS1='$ '; bind 'set enable-bracketed-paste off'; eval \"$(forge completion bash)\"",
    "zsh": "PS1='$ '; autoload -U compinit; compinit -D -u; eval \"$(forge completion zsh)\"",
    "fish": "function fish_prompt; echo '$ '; end; forge completion fish | source",
}
TYPED = [
    ("forge plan model=llama_7", "forge plan model=llama_7b"),
    ("forge-run +recipe=support", "forge-run +recipe=support_moe_8x1b"),
    ("forge plan train.learning_rate_s", "forge plan train.learning_rate_schedule="),
    ("forge recipe show ou", "forge recipe show ours"),
    ("forge plan --js", "forge plan --json"),
    ("forge audit my", "forge audit my documents/"),
]


class Terminal:
    """A shell at a terminal of its own."""

    def __init__(self, shell: str, folder: Path, environment: dict[str, str]) -> None:
        self._said = ""
        self._marks = 0
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.chdir(folder)
            os.execvpe(shell, [shell, *SHELLS[shell]], environment)

    def send(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def until(self, text: str) -> None:
        """Wait for text in what is said from now on, and forget what came before it."""
        end = time.monotonic() + GENEROUS_S
        while text not in self._said:
            assert time.monotonic() < end, self._said[-2000:]
            if select.select([self._terminal], [], [], 1)[0]:
                self._said += os.read(self._terminal, 65536).decode(errors="replace")
        self._said = self._said.partition(text)[2]

    def close(self) -> None:
        os.kill(self._pid, 9)
        os.waitpid(self._pid, 0)
        os.close(self._terminal)


@pytest.fixture(params=sorted(SHELLS))
def terminal(request: pytest.FixtureRequest, here: Path) -> Iterator[Terminal]:
    shell = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    programs = here / "bin"
    programs.mkdir()
    for name, entry in (("forge", "main"), ("forge-run", "run_main")):
        code = f"from forge.cli.main import {entry}; {entry}()"
        (programs / name).write_text(
            f"#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -c '{code}' \"$@\"\n"
        )
        (programs / name).chmod(stat.S_IRWXU)
    environment = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(here),
        "TERM": "dumb" if shell != "fish" else "xterm",
        "LANG": "C.UTF-8",
    }
    running = Terminal(shell, here, environment)
    running.send(f"{SET_UP[shell]}; echo rea''dy\r")
    running.until("ready")
    yield running
    running.close()


def test_a_real_shell_completes(terminal: Terminal) -> None:
    for typed, completed in TYPED:
        # Ctrl-A and a word before it: the shell says what the line has become.
        terminal.send(f"{typed}\t\x01echo '<' \x05'>'\r")
        terminal.until(f"< {completed}")
