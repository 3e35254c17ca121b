"""The command line as a process: what it prints, where, and the exit status it ends with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from forge import __version__
from forge.cli.calling import call
from forge.cli.main import COMMANDS, GROUPS


def forge(*arguments: str, cwd: Path | None = None, script: str = "main") -> subprocess.CompletedProcess[str]:
    code = f"from forge.cli.main import {script}; {script}()"
    environment = os.environ | {"NO_COLOR": "1", "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, env=environment, capture_output=True, text=True
    )


def test_version_and_help() -> None:
    assert forge("--version").stdout == f"forge {__version__}\n"
    helped = forge("--help")
    assert helped.returncode == 0
    assert "forge-run +recipe=legal_tiny data.path=/my/folder" in helped.stdout
    assert "--multirun" in forge("--help", script="run_main").stdout


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (
            ["+recipe=legal_tinny"],
            ["command line: +recipe=legal_tinny: there is no recipe 'legal_tinny'. did you mean legal_tiny?"],
        ),
        (["train.lr=3"], ["command line: train.lr: no such key. did you mean train.learning_rate?"]),
        (["--jsno"], ["command line: --jsno: no such option. did you mean --json?"]),
        (
            ["--hardware=8xh100"],
            [
                "command line: --hardware=8xh100: no such option: keys are written without dashes: hardware=8xh100"
            ],
        ),
        (
            ["train.lr=3", "modle=x"],
            [
                "command line: modle: no such key. did you mean model?",
                "command line: train.lr: no such key. did you mean train.learning_rate?",
            ],
        ),
    ],
)
def test_a_mistake_is_one_line_each_and_status_2(
    arguments: list[str], lines: list[str], tmp_path: Path
) -> None:
    planned = forge("plan", *arguments, cwd=tmp_path)
    assert (planned.returncode, planned.stdout, planned.stderr.splitlines()) == (2, "", lines)
    assert list(tmp_path.iterdir()) == []


def test_a_machine_without_the_gpus_is_status_3(tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "a.txt").write_text("some words")
    refused = forge(
        "+recipe=legal_7b", "hardware=8xh100", "data.path=documents", cwd=tmp_path, script="run_main"
    )
    assert refused.returncode == 3
    assert len(refused.stderr.splitlines()) == 1
    assert refused.stderr.startswith(
        "hardware=8xh100: needs 8 h100-sxm-80gb a node, this machine has no GPU: "
    )
    assert [path.name for path in tmp_path.iterdir()] == ["documents"]


def test_documents_that_are_not_there_are_status_2_with_the_line_that_named_them(tmp_path: Path) -> None:
    gone = forge("hardware=cpu", "data.path=nowhere", cwd=tmp_path, script="run_main")
    assert (gone.returncode, gone.stderr) == (
        2,
        "command line: data.path: nowhere: does not exist: set data.path to a folder or file of documents\n",
    )
    unsaid = forge("hardware=cpu", cwd=tmp_path, script="run_main")
    assert (unsaid.returncode, unsaid.stderr) == (
        2,
        "conf/data/folder.yaml:2: data.path: say where your documents are: data.path=/my/folder\n",
    )


def test_a_folder_without_documents_is_status_4(tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    empty = forge("hardware=cpu", "data.path=documents", cwd=tmp_path, script="run_main")
    assert empty.returncode == 4
    assert empty.stderr.startswith("lake: documents: no files: put documents (.txt")
    assert "Traceback" not in empty.stderr


def test_a_reader_that_leaves_early_is_no_fault(tmp_path: Path) -> None:
    command = (
        f"{sys.executable} -c 'from forge.cli.main import main; main()' plan hardware=cpu --json | head -c 10"
    )
    shown = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert shown.stdout == '{\n  "id": '
    assert shown.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("pln",), "command line: pln: no such command. did you mean plan?"),
        (
            ("zzz",),
            f"command line: zzz: no such command. there are: {', '.join([*COMMANDS, *GROUPS])}",
        ),
        (
            ("+recipe=legal_7b", "hardware=cpu"),
            "command line: +recipe=legal_7b: is no command: say what to do with it: forge plan +recipe=legal_7b",
        ),
        (("plan", "--why"), "command line: --why: needs a value: --why KEY"),
        (("plan", "-o"), "command line: -o: needs a value: -o FILE"),
        (("plan", "--json=3"), "command line: --json: takes no value: write --json alone"),
        (("audit",), "command line: PATH...: is missing: forge audit PATH..."),
        (("audit", "--fxi", "a"), "command line: --fxi: no such option. did you mean --fix?"),
        (("--verison",), "command line: --verison: no such option. did you mean --version?"),
    ],
)
def test_a_command_line_that_cannot_be_parsed_is_one_line(arguments: tuple[str, ...], line: str) -> None:
    refused = forge(*arguments)
    assert (refused.returncode, refused.stdout, refused.stderr) == (2, "", f"{line}\n")


def test_without_a_command_there_is_help() -> None:
    helped = forge()
    assert helped.returncode == 0
    assert all(command in helped.stdout for command in [*COMMANDS, *GROUPS])


@pytest.mark.parametrize(
    "arguments", ["plan +recipe=legal_7b hardware=8xh100", "plan hardware=cpu --spec", "--help"]
)
def test_a_reader_that_leaves_after_a_line_is_no_fault(arguments: str, tmp_path: Path) -> None:
    program = f"{sys.executable} -c 'from forge.cli.main import main; main()' {arguments}"
    command = f"({program}; echo $? >&3) 3>status 2>said | true; cat status"
    shown = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert shown.stdout in ("141\n", "0\n")
    assert all(line.startswith("note: ") for line in (tmp_path / "said").read_text().splitlines())


def test_piped_tables_have_no_spaces_at_line_ends(tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "a.md").write_text("# Heron\n\nThe limit is 5 GB for all of its customers.\n")
    for arguments in (
        ("plan", "+recipe=legal_7b", "hardware=8xh100"),
        ("plan", "--diff", "hardware=cpu", "hardware=cpu train.learning_rate=2e-3"),
        ("audit", "documents"),
    ):
        shown = forge(*arguments, cwd=tmp_path)
        assert shown.returncode == 0, shown.stderr
        lines = shown.stdout.splitlines()
        assert len(lines) > 5
        assert [line for line in lines if line != line.rstrip()] == []


def test_sigterm_while_compiling_is_status_143(monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer()

    @app.command()
    def wait() -> None:
        signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    try:
        assert call(app, "wait", []) == 143
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_what_schedulers_send_is_an_interrupt_other_than_ctrl_c(number: int) -> None:
    code = """
import os, sys, typer
from forge.cli.calling import call
from forge.run.interrupts import Terminated
app = typer.Typer()

@app.command()
def command():
    try:
        os.kill(os.getpid(), int(sys.argv[1]))
    except Terminated:
        sys.exit(7)

sys.exit(call(app, "forge", []))
"""
    assert subprocess.run([sys.executable, "-c", code, str(int(number))]).returncode == 7


def test_a_group_of_commands_has_its_own_help_and_mistakes(tmp_path: Path) -> None:
    assert "list" in forge("recipe").stdout
    assert forge("recipe").stdout == forge("recipe", "--help").stdout
    assert "legal_tiny" in forge("recipe", "list", cwd=tmp_path).stdout
    misspelt = forge("recipe", "lsit")
    assert (misspelt.returncode, misspelt.stderr) == (
        2,
        "command line: lsit: no such command. did you mean list?\n",
    )
    wrong = forge("recipe", "list", "--jsno")
    assert (wrong.returncode, wrong.stderr) == (2, "command line: --jsno: no such option.\n")
