"""The public functions, used as the README shows them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import forge
from forge.errors import SpecError
from tests.run.small import OVERRIDES, write_documents

README = Path(__file__).resolve().parent.parent / "README.md"


def test_the_package_names_what_it_offers() -> None:
    for name in forge.__all__:
        assert getattr(forge, name).__doc__
    with pytest.raises(AttributeError):
        _ = forge.no_such_name


def test_importing_forge_imports_no_room() -> None:
    code = "import sys, forge; print(sorted(name for name in sys.modules if name.startswith('forge')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['forge']\n"


def test_a_plan_can_be_made_and_looked_at() -> None:
    plan = forge.compile_plan(forge.compose("recipe=legal_7b", "hardware=8xh100"))
    assert plan.estimates.peak_memory_bytes < 80 * 1024**3


def test_a_mistake_is_an_error_with_its_lines() -> None:
    with pytest.raises(SpecError) as wrong:
        forge.compose("train.lr=1")
    assert wrong.value.lines == ("command line: train.lr: no such key. did you mean train.learning_rate?",)


def test_a_plan_without_documents_is_not_carried_out(tmp_path: Path) -> None:
    plan = forge.compile_plan(forge.compose("recipe=legal_tiny", "data.path=null"))
    with pytest.raises(SpecError, match="was made without documents"):
        forge.run_plan(plan, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="is no folder of a run"):
        forge.load_run(tmp_path)


@pytest.mark.slow
def test_the_example_of_the_readme_runs(tmp_path: Path) -> None:
    (example,) = re.findall(
        r"```python\n(import forge\n.*?)```", README.read_text(encoding="utf-8"), re.DOTALL
    )
    documents = write_documents(tmp_path / "documents")
    small = ", ".join(f'"{override}"' for override in OVERRIDES)
    example = example.replace("/my/folder", str(documents)).replace('"recipe=legal_tiny"', small)
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "GiB" in done.stdout
    assert re.search(r"runs/small-[0-9a-f]{12}", done.stdout)
