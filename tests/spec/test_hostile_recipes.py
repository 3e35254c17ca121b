"""A recipe is data: nothing it says is run, nothing is read or written that is not its own, and none takes long."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from forge.resources import data_dir
from forge.spec.search_path import Root, SearchPath
from tests.spec.hostile_cases import SECRET, hostile_cases, prepare
from tests.spec.text_cases import Case
from tests.spec.workspace import frozen_conf

CASES = hostile_cases()
REPOSITORY = Path(__file__).parents[2]
GENEROUS_S = 300

RUNS_CODE = """
import os, pathlib
pathlib.Path(os.environ["FORGE_CANARY_FILE"]).touch()
raise SystemExit("the code of a pack was run")
"""
PACK = {
    "acme_recipes/__init__.py": RUNS_CODE,
    "acme_recipes/good.yaml": "seed: 77\n",
    "acme_recipes/climbs.yaml": "defaults:\n  - ../secret\n",
    "acme_recipes/writes.yaml": "output_dir: /etc\n",
    "acme_recipes/legal_tiny.yaml": "name: stolen\n",
    "acme_recipes-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: acme-recipes\nVersion: 1.0\n",
    "acme_recipes-1.0.dist-info/entry_points.txt": "[forge.recipes]\nacme = acme_recipes\n",
    "hydra_plugins/acme/__init__.py": RUNS_CODE,
    "hydra_plugins/evil.py": RUNS_CODE,
}


@pytest.fixture(scope="module")
def playground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a secret beside the working folders, a user's settings, and an installed pack of bad will."""
    base = tmp_path_factory.mktemp("hostile")
    (base / "secret.yaml").write_text(f"name: {SECRET}\n")
    frozen_conf(base / "home/.config/forge/conf")
    for name, content in PACK.items():
        file = base / "site" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    (base / "site/acme_recipes/linked.yaml").symlink_to(base / "secret.yaml")
    for number, case in enumerate(CASES):
        prepare(case, base / str(number))
    return base


@pytest.fixture(scope="module")
def reports(playground: Path) -> dict[str, dict[str, Any]]:
    """What composing each attack ended with, all in one process that is watched."""
    jobs = [
        {"folder": str(playground / str(number)), "overrides": case.overrides}
        for number, case in enumerate(CASES)
    ]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(playground / "home"),
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(playground / "site")]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "FORGE_CANARY": SECRET,
        "HF_TOKEN": SECRET,
        "FORGE_CANARY_FILE": str(playground / "CANARY"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.spec.watched_compose"],
        input=json.dumps(jobs),
        cwd=playground,
        env=environment,
        capture_output=True,
        text=True,
        timeout=GENEROUS_S,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert SECRET not in done.stdout + done.stderr
    assert done.stderr == ""
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return {case.name: answer for case, answer in zip(CASES, answers, strict=True)}


def _expected(case: Case, playground: Path) -> list[str]:
    """Fill in what is shipped, and where the user's conf lies."""
    shipped = SearchPath(
        (Root(data_dir("conf"), "", "conf", ""), Root(data_dir("recipes"), "recipe", "recipe", ""))
    )
    own = SearchPath((Root(playground / "home/.config/forge/conf", "", "conf", ""),))
    models = sorted({*shipped.options("model"), *own.options("model")})
    filled = [
        line.replace("{models}", ", ".join(models)).replace("{recipes}", ", ".join(shipped.options("recipe")))
        for line in case.says
    ]
    return [line.replace("(over conf/", "(over ~/.config/forge/conf/") for line in filled]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_an_attack_ends_in_clean_lines_and_does_nothing(
    case: Case, playground: Path, reports: dict[str, dict[str, Any]]
) -> None:
    report = reports[case.name]
    assert report["traceback"] == ""
    assert report["lines"] == _expected(case, playground)
    assert bool(case.says) != bool(case.holds)
    assert case.holds in report["spec"]
    for line in report["lines"]:
        assert line.isprintable()
    assert report["events"] == []
    assert report["foreign_modules"] == []
    for path in map(Path, report["opened"]):
        assert path.name != "secret.yaml"
        assert path.resolve() != playground / "secret.yaml"
        assert path.suffix in (".yaml", ".txt", ".zip", ""), path


def test_nothing_was_written_anywhere_near(playground: Path, reports: dict[str, dict[str, Any]]) -> None:
    assert len(reports) == len(CASES)
    written = {str(file.relative_to(playground)) for file in playground.rglob("*") if "CANARY" in file.name}
    assert written == set()


def test_the_watch_sees_what_it_is_there_for(tmp_path: Path) -> None:
    """Without this, an audit hook that is never called would prove nothing."""
    program = f"""
import subprocess, sys
from tests.spec import watched_compose as watched
sys.addaudithook(watched.watch)
watched.watching = True
open({str(tmp_path / "x")!r}, "w").close()
subprocess.run(["true"])
watched.watching = False
print(sorted({{event.split(":")[0] for event in watched.events}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=GENEROUS_S
    )
    assert "open for writing" in done.stdout, done.stderr
    assert "subprocess.Popen" in done.stdout


def test_there_are_many_and_no_two_alike() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)
