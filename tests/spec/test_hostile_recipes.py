"""A recipe is data: nothing it says is run, nothing is read or written that is not its own, and none takes long.

Every attack is carried out by the real command line: all in one process that is watched, one of each class in a process
of its own as well.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from forge.resources import data_dir
from forge.spec.schema import spec_schema
from forge.spec.search_path import Root, SearchPath
from tests.spec.hostile_cases import SECRET, class_of, hostile_cases, prepare
from tests.spec.text_cases import Case
from tests.spec.workspace import frozen_conf

CASES = hostile_cases()
REFUSED = [case for case in CASES if case.says]
CLASSES = Counter(map(class_of, CASES))
AS_PROCESSES = [next(case for case in REFUSED if class_of(case) == name) for name in CLASSES]
REPOSITORY = Path(__file__).parents[2]
GENEROUS_S = 300

RUNS_CODE = """
import os, pathlib
pathlib.Path(os.environ["FORGE_CANARY_FILE"]).touch()
raise SystemExit("the code of a pack was run")
"""
PACK = {
    "acme_recipes/__init__.py": RUNS_CODE,
    "acme_recipes/recipes/good.yaml": "seed: 77\n",
    "acme_recipes/recipes/climbs.yaml": "defaults:\n  - ../secret\n",
    "acme_recipes/recipes/writes.yaml": "output_dir: /etc\n",
    "acme_recipes/recipes/legal_tiny.yaml": "name: stolen\n",
    "acme_recipes-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: acme-recipes\nVersion: 1.0\n",
    "acme_recipes-1.0.dist-info/entry_points.txt": "[forge.recipes]\nacme = acme_recipes\n",
    "hydra_plugins/acme/__init__.py": RUNS_CODE,
    "hydra_plugins/evil.py": RUNS_CODE,
    "evil.py": RUNS_CODE,
}


@dataclass(frozen=True)
class Playground:
    """Folders of attacks, and what they are after."""

    base: Path
    listener: socket.socket

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def folder(self, case: Case) -> Path:
        return self.base / str(CASES.index(case))

    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.base / "home"),
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(self.base / "site")]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "FORGE_CANARY": SECRET,
            "HF_TOKEN": SECRET,
            "FORGE_CANARY_FILE": str(self.base / "CANARY"),
        }

    def overrides(self, case: Case) -> list[str]:
        return [override.replace("{port}", str(self.port)) for override in case.overrides]

    def files(self) -> dict[str, bytes | None]:
        """Return every file with its content, None for links and pipes."""
        return {
            str(path.relative_to(self.base)): path.read_bytes()
            if path.is_file() and not path.is_symlink()
            else None
            for path in sorted(self.base.rglob("*"))
        }

    def was_called(self) -> bool:
        """True where somebody connected to the listener."""
        try:
            self.listener.accept()[0].close()
        except BlockingIOError:
            return False
        return True


@pytest.fixture(scope="module")
def playground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playground]:
    """A secret beside the working folders, a user's settings, an installed pack of bad will, a listener."""
    base = tmp_path_factory.mktemp("hostile")
    (base / "secret.yaml").write_text(f"name: {SECRET}\n")
    frozen_conf(base / "home/.config/forge/conf")
    for name, content in PACK.items():
        file = base / "site" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    (base / "site/acme_recipes/recipes/linked.yaml").symlink_to(base / "secret.yaml")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        playground = Playground(base, listener)
        for case in CASES:
            prepare(case, playground.folder(case), playground.port)
        yield playground


@pytest.fixture(scope="module")
def reports(playground: Playground) -> dict[str, list[dict[str, Any]]]:
    """What each attack ended with: composed, and listed among the recipes; all in two processes that are watched."""
    before = playground.files()
    listed = [case for case in CASES if _is_listed(case)]
    composing = [(case, ["plan", "--spec", *playground.overrides(case)]) for case in CASES]
    found = {
        case.name: [report]
        for case, report in zip(CASES, _watched(playground, composing, playground.environment()), strict=True)
    }
    # A list tries every recipe of a pack anew: once is enough, below.
    without_pack = playground.environment() | {"PYTHONPATH": str(REPOSITORY)}
    listing = _watched(playground, [(case, ["recipe", "list"]) for case in listed], without_pack)
    for case, report in zip(listed, listing, strict=True):
        found[case.name].append(report)
    (beside_pack,) = _watched(playground, [(listed[0], ["recipe", "list"])], playground.environment())
    assert "acme/good" in beside_pack["out"]
    found[listed[0].name].append(beside_pack)
    assert playground.files() == before
    return found


def _watched(
    playground: Playground, commands: list[tuple[Case, list[str]]], environment: dict[str, str]
) -> list[dict[str, Any]]:
    """Carry out each command in the folder of its case, all in one process, and return what each did."""
    jobs = [{"folder": str(playground.folder(case)), "command": command} for case, command in commands]
    done = subprocess.run(
        [sys.executable, "-m", "tests.spec.watched_commands"],
        input=json.dumps(jobs),
        cwd=playground.base,
        env=environment,
        capture_output=True,
        text=True,
        timeout=GENEROUS_S,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def _is_listed(case: Case) -> bool:
    """Return whether its recipes are listed: there are some, and not so many that to list them takes its time."""
    return 0 < len(case.files) < 100


def _expected(case: Case, playground: Playground) -> str:
    """Fill in what is shipped, where the user's conf lies, and the listener's port."""
    shipped = SearchPath(
        (Root(data_dir("conf"), "", "conf", ""), Root(data_dir("recipes"), "recipe", "recipe", ""))
    )
    own = SearchPath((Root(playground.base / "home/.config/forge/conf", "", "conf", ""),))
    schema = spec_schema()

    def there_is(match: re.Match[str]) -> str:
        if match["group"]:
            node = schema.node(tuple(match["group"].split(".")))
            assert node is not None
            return ", ".join(node["properties"])
        options = sorted({*shipped.options(match["options"]), *own.options(match["options"])})
        return ", ".join(options)

    (line,) = case.says
    line = line.replace("{port}", str(playground.port)).replace("{groups}", ", ".join(schema.groups))
    line = re.sub(r"\{keys of (?P<group>[\w.]+)\}|\{(?P<options>model|hardware|recipe)\}", there_is, line)
    return line.replace("(over conf/", "(over ~/.config/forge/conf/")


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_an_attack_ends_in_one_clean_line_and_does_nothing(
    case: Case, playground: Playground, reports: dict[str, list[dict[str, Any]]]
) -> None:
    composed, *others = reports[case.name]
    if case.says:
        assert composed["err"] == f"{_expected(case, playground)}\n"
        assert (composed["status"], composed["out"]) == (2, "")
    else:
        assert composed["status"] == 0
        assert case.holds in composed["out"]
        assert composed["err"] == ""
    for listed in others:
        assert (listed["status"], listed["err"]) == (0, "")
    for report in (composed, *others):
        said = report["out"] + report["err"]
        assert all(line.isprintable() for line in said.split("\n"))
        assert SECRET not in said.replace(f"redact_salt={SECRET}", "")
        assert report["events"] == []
        assert report["foreign_modules"] == []
        for path in map(Path, report["opened"]):
            assert path.name != "secret.yaml"
            assert path.resolve() != playground.base / "secret.yaml"
            assert path.suffix in (".yaml", ".txt", ".zip", ""), path
    assert not playground.was_called()


@pytest.mark.parametrize("case", AS_PROCESSES, ids=[class_of(case) for case in AS_PROCESSES])
def test_training_with_it_ends_the_same(case: Case, playground: Playground) -> None:
    before = playground.files()
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from forge.cli.main import run_main; run_main()",
            *playground.overrides(case),
        ],
        cwd=playground.folder(case),
        env=playground.environment(),
        capture_output=True,
        text=True,
        timeout=GENEROUS_S,
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{_expected(case, playground)}\n")
    assert playground.files() == before
    assert not playground.was_called()


def test_what_is_shown_of_a_recipe_is_safe_for_a_terminal(playground: Playground) -> None:
    """Markup of the tables, in what a recipe may say: shown as it stands, by every command that shows recipes."""
    folder = playground.base / "shown"
    (folder / "recipes").mkdir(parents=True)
    text = """\
# For [blink]you[/blink] [/]: x
defaults:
  - legal_tiny
evaluate:
  prompts: ["[blink]a[/blink]", "[/]"]
"""
    (folder / "recipes" / "mine.yaml").write_text(text)
    for words, shown in (
        (["list"], "[blink]you[/blink] [/]"),
        (["show", "mine", "hardware=cpu", "data.path=null"], "[blink]a[/blink]"),
        (["diff", "mine", "legal_tiny", "hardware=cpu", "data.path=null"], "[blink]a[/blink]"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "forge.cli.main", "recipe", *words],
            cwd=folder,
            env=playground.environment(),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert shown in done.stdout
        assert "\x1b" not in done.stdout


def test_the_watch_sees_what_it_is_there_for(tmp_path: Path) -> None:
    """Without this, an audit hook that is never called would prove nothing."""
    program = f"""
import subprocess, sys
from tests.spec import watched_commands as watched
sys.addaudithook(watched.watch)
watched.watching = True
open({str(tmp_path / "x")!r}, "w").close()
subprocess.run(["true"])
exec("1")
watched.watching = False
print(sorted({{event.split(":")[0] for event in watched.events}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=GENEROUS_S
    )
    for event in ("open for writing", "subprocess.Popen", "exec"):
        assert event in done.stdout, done.stderr


def test_the_listener_hears_who_calls(playground: Playground) -> None:
    assert not playground.was_called()
    socket.create_connection(("127.0.0.1", playground.port)).close()
    assert playground.was_called()


def test_there_are_many_of_every_class_and_no_two_alike() -> None:
    assert len(REFUSED) >= 100
    assert min(CLASSES.values()) >= 8
    assert len({case.name for case in CASES}) == len(CASES)
    assert all(len(case.says) == 1 for case in REFUSED)


def test_the_page_on_security_counts_them() -> None:
    page = (REPOSITORY / "docs" / "security.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([a-z ]+) \| (\d+) \|", page, re.MULTILINE))
    assert {name: int(count) for name, count in rows.items() if name != "all"} == CLASSES
    assert int(rows["all"]) == len(CASES)
