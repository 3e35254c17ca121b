from __future__ import annotations

from pathlib import Path

import pytest

from forge.export import export
from forge.export.hf_folder import write_hf_folder
from forge.export.verify import verify
from tests.export.artifacts import VOCAB_SIZE, planned, write_evaluation, write_model, write_tokenizer
from tests.factories import write_tokens


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train/ (bf16), tokenizer/, tokens/ and evaluation/, as the stages before export leave them."""
    folder: Path = tmp_path_factory.mktemp("trained")
    write_model(folder / "train", planned().model)
    write_tokenizer(folder / "tokenizer")
    write_tokens(folder / "tokens", vocab_size=VOCAB_SIZE)
    write_evaluation(folder / "evaluation")
    return folder


@pytest.fixture
def hf(trained: Path, tmp_path: Path) -> Path:
    """A fresh bf16 export, to be damaged."""
    folder = tmp_path / "hf"
    write_hf_folder(planned().model, "bf16", trained / "train", trained / "tokenizer", folder)
    return folder


@pytest.fixture
def proven_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have folders proven in this process: a fresh one for each would spend all its time on imports."""
    monkeypatch.setattr(export, "prove_hf", verify)
