"""A sweep on a disk that is full: one line says so, and the same command goes on when there is room."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from forge.plan.types import plan_to_json
from forge.run.sweep.child import read_result
from tests.data.builders import prose, write_folder
from tests.run.sweep.quick import command, point

SWEEP = """
import sys
from forge.cli.sweeping import sweep
from forge.errors import UserError
from forge.run.display import LineDisplay
from forge.run.sweep import processes
from tests.run.small import OVERRIDES
from tests.run.sweep.quick import command
processes._command = command
where = [f"data.path={sys.argv[1]}", f"output_dir={sys.argv[2]}"]
try:
    sweep([*where, *OVERRIDES, "train.learning_rate=3e-3,1e-3"], LineDisplay(sys.stderr, quiet=False), quiet=False)
except UserError as error:
    print(*error.lines, sep="\\n", file=sys.stderr)
    sys.exit(error.exit_code)
"""
IN_A_SMALL_DISK = """
set -e
mount -t tmpfs -o size=4m tmpfs "$1"
head -c $((4096 * 1024 - $2 * 1024)) /dev/zero > "$1/filler"
shift 2
echo "exit status $("$@" >&2; echo $?)"
"""
AND_WHEN_THERE_IS_ROOM = """
rm "${!#}/filler"
echo 'room' >&2
"$@"
"""


def test_a_run_whose_log_is_on_a_full_disk_still_leaves_how_it_ended(tmp_path: Path) -> None:
    one = point(1, tmp_path, {"stage": "lake", "do": "fail"})
    one.run_dir.mkdir(parents=True)
    (one.run_dir / "plan.json").write_text(plan_to_json(one.plan))
    with Path("/dev/full").open("wb") as log:
        assert subprocess.run(command(one, None), stderr=log).returncode == 4
    assert read_result(one.run_dir) == {
        "status": "failed",
        "lines": ["train: it does not learn: use another learning rate"],
    }


@pytest.mark.soak
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs a small disk")
@pytest.mark.parametrize("free_kib", [0, 12, 24, 40, 70, 120, 180])
def test_the_same_command_goes_on_when_there_is_room(
    free_kib: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    disk = tmp_path / "disk"
    disk.mkdir()
    own = ["unshare", "--user", "--map-root-user", "--mount", "--"]
    if subprocess.run([*own, "mount", "-t", "tmpfs", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("this machine lets no user mount a small disk")
    documents = write_folder(tmp_path / "documents", {f"{seed}.txt": prose(seed, 80) for seed in range(3)})
    script = IN_A_SMALL_DISK + AND_WHEN_THERE_IS_ROOM
    sweep = [sys.executable, "-c", SWEEP, str(documents), str(disk)]
    done = subprocess.run(
        [*own, "bash", "-c", script, "bash", str(disk), str(free_kib), *sweep], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    full, room, later = done.stderr.partition("room\n")
    assert room
    assert "Traceback" not in done.stderr
    status, *shown = done.stdout.splitlines()
    assert status == "exit status 4", full
    assert "No space left on device): free some space; the same command goes on" in full
    # The table is that of a sweep to which nothing happened.
    assert [line.split()[:4] for line in shown if line.endswith("done")] == [
        ["1", "2", "0.001", "1.1000"],
        ["2", "1", "0.003", "1.3000"],
    ], later
