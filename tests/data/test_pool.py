"""Processes that die of what they read. They are the real ones, with a text reader that does what a file asks of it."""

import errno
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from forge.data import pool
from forge.data.lake import build_lake
from forge.data.pool import Limits
from forge.progress import SilentProgress
from tests.data.builders import LAKE, rows, write_folder
from tests.data.formats.files import pdf_of, zip_of

OBEDIENT = """
import os, signal, sys, time
import forge.data.reading as reading
from forge.data.formats.items import Document
from forge.data.formats.sniff import Format
from forge.data.worker import main

def obey(content):
    word = content.read().decode()
    if word == "crash":
        yield Document(1, "before the crash", "text/plain")
        os.kill(os.getpid(), signal.SIGSEGV)
    if word == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "spin":
        while True:
            pass
    if word == "stall":
        time.sleep(3_600)
    if word == "grow":
        bytearray(1 << 40)
    if word == "fail":
        raise KeyError(object())
    if word == "quit":
        os._exit(3)
    print("a library prints this")
    yield Document(0, word, "text/plain")

true_format = reading.format_of
reading.format_of = lambda content: (
    Format("obedient", obey, True) if content.name.endswith(".txt") else true_format(content)
)
main()
"""
LIMITS = Limits(cpu_s=1.5, memory_bytes=500_000_000)


@pytest.fixture
def lake_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(pool, "COMMAND", [sys.executable, "-P", "-c", OBEDIENT])

    def make(
        files: dict[str, str | bytes], out: str = "out", workers: int = 2, limits: Limits = LIMITS
    ) -> tuple[dict[str, Any], dict[str, str]]:
        # What makes this process hand everything over is the one file that it must not read.
        folder = write_folder(tmp_path / "in", {"!.pdf": pdf_of([["x"]]), **files})
        (tmp_path / out).mkdir()
        summary = build_lake([str(folder)], LAKE, tmp_path / out, SilentProgress(), workers, limits)
        assert sorted(path.name for path in (tmp_path / out).iterdir()) == [
            "lake.parquet",
            "set_aside.parquet",
        ]
        found = {row["path"]: "document" for row in rows(tmp_path / out / "lake.parquet")}
        found |= {row["path"]: row["reason"] for row in rows(tmp_path / out / "set_aside.parquet")}
        del found["!.pdf"]
        return summary, found

    return make


def test_whatever_a_file_does_the_others_are_read(lake_of: Any) -> None:
    summary, found = lake_of(
        {
            "a.txt": "fine",
            "b.txt": "crash",
            "c.txt": "spin",
            "e.txt": "grow",
            "f.txt": "fail",
            "g.txt": "killed",
            "h.txt": "fine",
        }
    )
    assert found == {
        "a.txt": "document",
        "b.txt": "reader crashed",
        "c.txt": "time limit",
        "e.txt": "memory limit",
        "f.txt": "reader failed",
        "g.txt": "memory limit",
        "h.txt": "document",
    }
    assert (summary["files"], summary["documents"], summary["files_set_aside"]) == (8, 3, 5)


def test_a_file_that_waits_for_ever_is_given_up(lake_of: Any) -> None:
    _, found = lake_of({"a.txt": "stall"}, limits=Limits(wall_s=3))
    assert found == {"a.txt": "time limit"}


def test_in_an_archive_only_the_member_is_lost(lake_of: Any) -> None:
    inner = zip_of({"x.txt": "crash", "y.txt": "fine"})
    _, found = lake_of(
        {"a.zip": zip_of({"a.txt": "fine", "b.txt": "crash", "c.zip": inner, "d.txt": "fine"})}
    )
    assert found == {
        "a.zip/a.txt": "document",
        "a.zip/b.txt": "reader crashed",
        "a.zip/c.zip/x.txt": "reader crashed",
        "a.zip/c.zip/y.txt": "document",
        "a.zip/d.txt": "document",
    }


def test_an_archive_of_little_else_is_given_up(lake_of: Any) -> None:
    _, found = lake_of({"a.zip": zip_of({f"{place}.txt": "crash" for place in range(20)}), "b.txt": "fine"})
    assert found == {"a.zip": "reader crashed", "b.txt": "document"}


def test_the_same_bytes_come_out_however_many_die(lake_of: Any, tmp_path: Path) -> None:
    files = {f"{place:02}.txt": "crash" if place % 4 == 1 else f"text {place}" for place in range(12)}
    lake_of(files, "one", 1)
    lake_of(files, "three", 3)
    for name in ("lake.parquet", "set_aside.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "three" / name).read_bytes()


def test_a_fault_of_forge_is_not_blamed_on_a_file(lake_of: Any) -> None:
    with pytest.raises(RuntimeError, match="ended with status 3"):
        lake_of({"a.txt": "quit"})


def test_a_worker_that_cannot_start_is_a_fault_of_forge(
    lake_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "COMMAND", [sys.executable, "-c", "import no_such_module"])
    with pytest.raises(RuntimeError, match="no_such_module"):
        lake_of({"a.txt": "fine"})
    killed = f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})"
    monkeypatch.setattr(pool, "COMMAND", [sys.executable, "-c", killed])
    with pytest.raises(RuntimeError, match="before it read anything"):
        lake_of({"a.txt": "fine"}, "again")


def test_a_full_disk_is_no_fault_of_a_file(lake_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    full = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (99, 99)); from forge.data.worker import main; main()"
    )
    monkeypatch.setattr(pool, "COMMAND", [sys.executable, "-P", "-c", full])
    with pytest.raises(OSError, match="File too large") as error:
        lake_of({"a.txt": "fine"})
    assert error.value.errno == errno.EFBIG
