"""What an evaluation needs, looked at before the training: hours later it is too late to name another file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from forge.errors import StageError
from forge.evaluate.given_questions import read_all
from forge.evaluate.rival_key import api_key_of
from forge.evaluate.tasks import require_lm_eval


def check_evaluation(parameters: Mapping[str, Any]) -> None:
    """Raise StageError where a file or key that the evaluate stage's `parameters` name cannot be used."""
    read_all(parameters)
    require_lm_eval(parameters["tasks"])
    api_key_of(parameters)
    folder = parameters["rival_folder"]
    if folder is not None and not (Path(folder) / "config.json").is_file():
        raise StageError(
            f"evaluate.rival_folder: {folder}: has no config.json: name the Hugging Face folder of a model"
        )
