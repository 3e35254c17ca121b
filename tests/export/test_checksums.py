from __future__ import annotations

import hashlib
from pathlib import Path

from forge.export.checksums import write_checksums


def test_lines_are_those_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"second")
    (tmp_path / "a").write_bytes(b"first")
    sums = write_checksums(tmp_path)
    assert sums == {
        "a": hashlib.sha256(b"first").hexdigest(),
        "b": hashlib.sha256(b"second").hexdigest(),
    }
    assert (tmp_path / "SHA256SUMS").read_text() == f"{sums['a']}  a\n{sums['b']}  b\n"
    assert write_checksums(tmp_path) == sums
