from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from forge.locks import Busy, take_lock, temporary_lock

HOLDER = """
import sys, time
from pathlib import Path
from forge.locks import take_lock
lock = take_lock(Path(sys.argv[1]), 0)
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_holder_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    first = take_lock(tmp_path / "lock", 0)
    with pytest.raises(Busy):
        take_lock(tmp_path / "lock", 0)
    first.close()
    take_lock(tmp_path / "lock", 0).close()


def test_a_killed_process_lets_go(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Busy):
            take_lock(tmp_path / "lock", 0)
        holder.kill()
    take_lock(tmp_path / "lock", 5).close()


def test_a_temporary_lock_is_removed_and_whoever_waited_for_it_holds_one_that_others_see(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lock"
    inside: list[str] = []
    waited = threading.Event()

    def worker(name: str) -> None:
        with temporary_lock(path, waited.set):
            inside.append(name)
            assert len(inside) == 1
            time.sleep(0.05)
            inside.remove(name)

    with temporary_lock(path):
        threads = [threading.Thread(target=worker, args=(str(number),)) for number in range(4)]
        for thread in threads:
            thread.start()
        assert waited.wait(10)
    for thread in threads:
        thread.join()
    assert not path.exists()
