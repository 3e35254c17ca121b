"""The page of a run that goes on, served to this machine alone, and nothing else served.

Who does not know the secret in the address gets nothing, and neither does a web page elsewhere that had its own name
point here (DNS rebinding): the host that a request names must be an address, or a name of this machine.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from forge.errors import SpecError
from forge.report.record import RecordReader
from forge.report.run_page import held_against, run_page

REFRESH_S = 5
TOKEN_BYTES = 24
REQUEST_TIMEOUT_S = 30


class ReportServer(ThreadingHTTPServer):
    """Serves one page at `url`."""

    daemon_threads = True

    def __init__(self, run_dir: Path, against: Path | None, host: str, port: int) -> None:
        """Listen, and answer nothing before `serve_forever`.

        Raises:
            SpecError: the folder is no run.
            OSError: the address cannot be listened at.
        """
        self._reader, self._against = RecordReader(run_dir), against
        self._lock = threading.Lock()
        self._token = secrets.token_urlsafe(TOKEN_BYTES)
        self._host = host
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    @property
    def url(self) -> str:
        """Where the page is, the secret in it."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.server_port}/?token={self._token}"

    def page(self) -> str:
        """Return the page as the run is now."""
        with self._lock:
            record = self._reader.read()
            return run_page(record, held_against(record, self._against), REFRESH_S)

    def is_known(self, token: str) -> bool:
        """Return whether a request brings the secret."""
        return hmac.compare_digest(token.encode(), self._token.encode())

    def is_own_host(self, named: str) -> bool:
        """Return whether the host that a request names is an address or this machine, at this port."""
        try:
            parts = urlsplit(f"//{named}")
            name, port = parts.hostname or "", parts.port
        except ValueError:
            return False
        if port != self.server_port:
            return False
        return name in {"localhost", self._host.lower(), socket.gethostname().lower()} or _is_address(name)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that hung up."""


class _Handler(BaseHTTPRequestHandler):
    server: ReportServer
    server_version = "forge"
    sys_version = ""
    timeout = REQUEST_TIMEOUT_S

    def do_GET(self) -> None:
        """Answer with the page, or with 403 and nothing of it."""
        address = urlsplit(self.path)
        token = parse_qs(address.query).get("token", [""])[0]
        if not self.server.is_own_host(self.headers.get("Host", "")) or not self.server.is_known(token):
            self._answer(
                HTTPStatus.FORBIDDEN, "This page needs the address that forge report --live printed.\n"
            )
        elif address.path != "/":
            self._answer(HTTPStatus.NOT_FOUND, "There is one page here.\n")
        else:
            self._answer(HTTPStatus.OK, self.server.page(), "text/html")

    def _answer(self, status: HTTPStatus, body: str, kind: str = "text/plain") -> None:
        content = body.encode()
        self.send_response(status)
        for name, value in (
            ("Content-Type", f"{kind}; charset=utf-8"),
            ("Content-Length", str(len(content))),
            ("Cache-Control", "no-store"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: an address has the secret in it."""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def serve_report(run_dir: Path, against: Path | None, host: str, port: int) -> None:
    """Serve the page of a run until Ctrl-C, printing its address first.

    Raises:
        SpecError: the folder is no run, or the address cannot be listened at.
    """
    try:
        server = ReportServer(run_dir, against, host, port)
    except OSError as error:
        raise SpecError(
            f"--host {host} --port {port}: cannot be listened at ({error.strerror}): name another port or host"
        ) from None
    with server:
        print(f"{server.url}\nCtrl-C ends it.", flush=True)
        server.serve_forever()
