"""What is published: a wheel and an sdist that carry conf/, schemas/ and recipes/, and work where nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build an sdist, and from it the wheel."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return out


def test_the_wheel_holds_every_shipped_file(built: Path) -> None:
    (wheel,) = built.glob("forge_run-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("conf", "schemas", "recipes"):
        shipped = {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*") if path.is_file()}
        assert {f"forge/_data/{name}" for name in shipped} <= names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "conf/"))]


def test_the_wheel_plans_in_a_new_environment(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("forge_run-*.whl")
    home = tmp_path / "environment"
    venv.create(home, with_pip=True)
    python = str(home / "bin" / "python")
    # It borrows what forge depends on, but not forge: a path line does not read the .pth of an editable install.
    own = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
    ).stdout.strip()
    Path(own, "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, env=environment)

    here = tmp_path / "here"
    here.mkdir()
    found = subprocess.run(
        [python, "-P", "-c", "import forge; print(forge.__file__)"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert str(home) in found.stdout
    plan = [str(home / "bin" / "forge"), "plan", "+recipe=legal_7b", "hardware=8xh100"]
    shown = subprocess.run(plan, cwd=here, env=environment, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert "6.74B parameters" in shown.stdout
    wrong = subprocess.run([*plan, "train.lr=1"], cwd=here, env=environment, capture_output=True, text=True)
    assert (wrong.returncode, wrong.stderr) == (
        2,
        "command line: train.lr: no such key. did you mean train.learning_rate?\n",
    )
