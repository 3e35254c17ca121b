from __future__ import annotations

from pathlib import Path

import pytest

from tests.recipes.kit import Kit, make_kit


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kit:
    """A place to work in, with a key that is known."""
    return make_kit(tmp_path, monkeypatch)
