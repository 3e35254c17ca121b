from __future__ import annotations

import http.client
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from forge.report.live import ReportServer
from tests.report.runs import a_plan, begin_run, step_event, train_start, write_events


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    run_dir = begin_run(tmp_path, a_plan())
    write_events(run_dir, [train_start(0, None, 6), step_event(1)])
    return run_dir


@pytest.fixture
def server(run_dir: Path) -> Iterator[ReportServer]:
    with ReportServer(run_dir, None, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def get(server: ReportServer, path: str, host: str | None = None, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.request(method, path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


def secret(server: ReportServer) -> str:
    return server.url.partition("token=")[2]


def test_the_page_follows_the_events(server: ReportServer, run_dir: Path) -> None:
    with urllib.request.urlopen(server.url, timeout=30) as answer:
        first = answer.read().decode()
        assert answer.headers["Cache-Control"] == "no-store"
    assert "is at step 1 of 6" in first
    assert '<meta http-equiv="refresh" content="5">' in first
    assert "connect-src 'self'" in first
    write_events(run_dir, [step_event(2)])
    assert "is at step 2 of 6" in get(server, f"/?token={secret(server)}")[1]


def test_nothing_is_shown_without_the_secret(server: ReportServer) -> None:
    for path in (
        "/",
        "/?token=",
        "/?token=x",
        f"/?token={secret(server)}x",
        f"/?other={secret(server)}",
        "/plan.json",
    ):
        status, body = get(server, path)
        assert status == 403
        assert "tiny" not in body


@pytest.mark.parametrize("name", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", ""])
def test_a_name_that_is_not_this_machine_is_refused(server: ReportServer, name: str) -> None:
    path = f"/?token={secret(server)}"
    assert get(server, path, f"{name}:{server.server_port}")[0] == 403
    assert get(server, path, name)[0] == 403
    assert get(server, path, "127.0.0.1:1")[0] == 403
    assert get(server, path, f"localhost:{server.server_port}")[0] == 200


def test_there_is_one_page_and_nothing_can_be_sent(server: ReportServer) -> None:
    token = secret(server)
    assert get(server, f"/events.jsonl?token={token}")[0] == 404
    assert get(server, f"/../plan.json?token={token}")[0] == 404
    for method in ("POST", "PUT", "DELETE"):
        assert get(server, f"/?token={token}", method=method)[0] == 501


def test_serving_writes_nothing(server: ReportServer, run_dir: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run_dir.rglob("*")}
    get(server, f"/?token={secret(server)}")
    assert {path: path.stat().st_mtime_ns for path in run_dir.rglob("*")} == before


def test_the_secret_is_another_each_time(run_dir: Path) -> None:
    with (
        ReportServer(run_dir, None, "127.0.0.1", 0) as one,
        ReportServer(run_dir, None, "127.0.0.1", 0) as other,
    ):
        assert secret(one) != secret(other)
        assert len(secret(one)) >= 32


def test_ctrl_c_ends_it_without_a_traceback(run_dir: Path) -> None:
    command = [sys.executable, "-m", "forge.cli.main", "report", str(run_dir), "--live"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{32,}", url)
        with urllib.request.urlopen(url, timeout=30) as answer:
            assert "is at step 1 of 6" in answer.read().decode()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert errors == ""


def test_a_port_in_use_is_one_line(server: ReportServer, run_dir: Path) -> None:
    command = [sys.executable, "-m", "forge.cli.main", "report", str(run_dir), "--live"]
    done = subprocess.run([*command, "--port", str(server.server_port)], capture_output=True, text=True)
    assert done.returncode == 2
    assert re.fullmatch(
        r"--host 127\.0\.0\.1 --port \d+: cannot be listened at \(.*\): name another.*\n", done.stderr
    )
