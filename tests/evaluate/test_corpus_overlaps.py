"""Several processes find what one finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from forge.evaluate import corpus_overlaps
from forge.evaluate.corpus_overlaps import overlaps_with_training
from forge.progress import SilentProgress
from tests.data.builders import prose
from tests.evaluate.taught import write_corpus


def test_what_is_found_does_not_depend_on_the_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = [prose(seed, 60) for seed in range(30)]
    write_corpus(tmp_path / "corpus", training, [prose(99, 20)])
    monkeypatch.setattr(corpus_overlaps, "BLOCK_BYTES", 2_000)
    asked = [" ".join(training[place].split()[7:20]) for place in (0, 13, 29)]
    sets = {"held_out": [prose(99, 20), *asked], "questions": [" ".join(training[4].split()[:6]), "Who?"]}
    alone, together = (
        overlaps_with_training(sets, tmp_path / "corpus", "pretrain", SilentProgress(), workers)
        for workers in (1, 2)
    )
    assert alone == together
    assert [one.is_contaminated for one in alone["held_out"]] == [False, True, True, True]
    assert [one.runs_found for one in alone["questions"]] == [1, 0]
