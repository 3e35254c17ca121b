"""A workspace for every test of the spec room."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.spec.workspace import Workspace, frozen_conf


@pytest.fixture(scope="session")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return frozen_conf(tmp_path_factory.mktemp("spec") / "conf")


@pytest.fixture
def workspace(tmp_path: Path, conf: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """An empty working directory of a user without settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_CONFIG_HOME", "FORGE_RECIPE_PATH"):
        monkeypatch.delenv(name, raising=False)
    return Workspace(tmp_path, conf)
