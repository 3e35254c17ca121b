from __future__ import annotations

from pathlib import Path

import pytest

from forge.engine.lock import hold_run_lock
from forge.errors import StageError


def test_a_second_training_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    first = hold_run_lock(tmp_path, patience_s=0)
    with pytest.raises(StageError, match="another training is at work in"):
        hold_run_lock(tmp_path, patience_s=0.2)
    first.close()
    hold_run_lock(tmp_path, patience_s=0).close()
