from __future__ import annotations

from pathlib import Path

import numpy as np

from forge.export.held_out_sequences import POSITIONS, held_out_sequences
from tests.factories import BOS_ID, write_tokens


def test_heads_of_documents_as_they_lie_in_the_stream(tmp_path: Path) -> None:
    write_tokens(tmp_path, held_out_tokens=400, document_tokens=50)
    stream = np.fromfile(tmp_path / "held_out.bin", dtype="<u2")
    found = held_out_sequences(tmp_path, context_tokens=30)
    assert [len(sequence) for sequence in found] == [30] * 7
    assert sum(len(sequence) - 1 for sequence in found) >= POSITIONS
    assert [sequence[0] for sequence in found] == [BOS_ID] * 7
    assert found[2] == stream[100:130].tolist()


def test_a_document_shorter_than_the_context_is_taken_whole(tmp_path: Path) -> None:
    write_tokens(tmp_path, held_out_tokens=25, document_tokens=12)
    # The last has one token, and nothing to predict.
    assert [len(sequence) for sequence in held_out_sequences(tmp_path, 30)] == [12, 12]
