from __future__ import annotations

import os
from pathlib import Path

from forge.data.made_alike import made_alike


def test_the_newest_of_those_made_in_the_same_way_comes_first(tmp_path: Path) -> None:
    told = {"old": '"so"', "new": '"so"', "other": '"otherwise"', "broken": '"so', "silent": None}
    for changed, (name, text) in enumerate(told.items()):
        (tmp_path / name).mkdir()
        if text is not None:
            (tmp_path / name / "how.json").write_text(text)
            os.utime(tmp_path / name / "how.json", (changed, changed))
    found = made_alike([tmp_path / name for name in (*told, "missing")], "how.json", "so")
    assert [folder.name for folder in found] == ["new", "old"]
