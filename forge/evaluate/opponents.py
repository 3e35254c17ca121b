"""Who else is asked the questions: retrieval over the training text, and a general model where the user names one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from forge.data.corpus_rows import corpus_rows, split_bytes
from forge.evaluate.questions import Question
from forge.evaluate.retrieval import MOST_BYTES, Found, Retrieval
from forge.evaluate.rival_key import api_key_of
from forge.evaluate.rivals import ask_endpoint, ask_folder, prompt_of
from forge.progress import Progress

RETRIEVAL, RIVAL, RIVAL_READING = OPPONENTS = ("retrieval", "rival", "rival_reading")
"""BM25 and an extractive reader; the general model with nothing to read; the same with retrieved passages."""


def ask_opponents(
    questions: Sequence[Question],
    parameters: Mapping[str, Any],
    corpus: Path,
    device: str,
    progress: Progress,
) -> tuple[dict[str, list[str]], str | None]:
    """Return the replies of each opponent, and why retrieval was not measured where it was asked for and was not.

    Args:
        questions: to be asked.
        parameters: the evaluate stage's: retrieval, rival_endpoint, rival_api_key_env,
            rival_model, rival_folder, answer_tokens.
        corpus: whose training text is searched.
        device: of a general model in a folder.
        progress: told of passages and questions.

    Raises:
        StageError: the general model cannot be asked.
    """
    replies: dict[str, list[str]] = {}
    found: list[Found] | None = None
    reason = None
    train_bytes = split_bytes(corpus, "train")
    if parameters["retrieval"] and train_bytes > MOST_BYTES:
        reason = f"the training text has {train_bytes} bytes; its index is made of {MOST_BYTES} at most"
    elif parameters["retrieval"]:
        progress.note("indexing the training text for retrieval")
        index = Retrieval(row.text for row in corpus_rows(corpus, "train"))
        found = [index.look_up(question) for question in questions]
        replies[RETRIEVAL] = [one.reply for one in found]
    if parameters["rival_endpoint"] is not None or parameters["rival_folder"] is not None:
        progress.note("asking the general model")
        plain = [prompt_of(question.text, ()) for question in questions]
        replies[RIVAL] = _ask(parameters, plain, device, progress)
        if found is not None:
            read = [prompt_of(one.text, some.passages) for one, some in zip(questions, found, strict=True)]
            replies[RIVAL_READING] = _ask(parameters, read, device, progress)
    return replies, reason


def _ask(parameters: Mapping[str, Any], prompts: list[str], device: str, progress: Progress) -> list[str]:
    address, tokens = parameters["rival_endpoint"], parameters["answer_tokens"]
    if address is not None:
        return ask_endpoint(
            address, parameters["rival_model"], prompts, tokens, progress, api_key_of(parameters)
        )
    return ask_folder(Path(parameters["rival_folder"]), device, prompts, tokens, progress)
