"""A process group of one, so that most training can be tested without a launch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# Read when deepspeed and gloo are first used.
os.environ["DS_ACCELERATOR"] = "cpu"
os.environ["GLOO_SOCKET_IFNAME"] = "lo"
os.environ["LOCAL_RANK"] = "0"

from tests.factories import write_tokens

if TYPE_CHECKING:
    from forge.engine.distributed import Place


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokens(tmp_path_factory.mktemp("tokens"))


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    import torch

    from forge.engine.distributed import join, leave
    from tests.factories import tiny_plan

    meeting = tmp_path_factory.mktemp("store") / "store"
    torch.distributed.init_process_group("gloo", init_method=meeting.as_uri(), rank=0, world_size=1)
    yield join(tiny_plan().layout)
    leave()
