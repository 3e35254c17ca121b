"""Pages in a headless Chromium: what it shows, what its console says, pictures and paper."""

from __future__ import annotations

import shutil
import subprocess
import zlib
from pathlib import Path

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")


def browse(page: Path, *flags: str) -> tuple[str, list[str]]:
    """Return what Chromium prints of a page under `flags`, and the lines of its console."""
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            f"--user-data-dir={page.parent / 'profile'}",
            *flags,
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def first_pixel(picture: Path) -> tuple[int, int, int]:
    """Return red, green and blue at the top left of a PNG: whatever filter its first line has."""
    content, place, packed = picture.read_bytes(), 8, b""
    while place < len(content):
        length, kind = int.from_bytes(content[place : place + 4]), content[place + 4 : place + 8]
        if kind == b"IDAT":
            packed += content[place + 8 : place + 8 + length]
        place += 12 + length
    red, green, blue = zlib.decompress(packed)[1:4]
    return red, green, blue
