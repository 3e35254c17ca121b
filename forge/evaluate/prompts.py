"""What a model is given to write on from, as it is put to it."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

from forge.data.chat_template import ChatEncoder
from forge.data.conversations import Message
from forge.errors import StageError
from forge.plan.types import Plan


def prompt_ids(plan: Plan, folder: Path) -> list[list[int]]:
    """Return the tokens of each prompt of a plan's evaluation: the beginning of a document, or a user's turn.

    Args:
        plan: whose evaluation it is.
        folder: of its tokenizer.

    Raises:
        StageError: one leaves no room to write in the model's context.
    """
    prompts = plan.stage("evaluate").parameters["prompts"]
    if plan.schedule.task == "pretrain":
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        found = [list(tokenizer.encode(prompt).ids) for prompt in prompts]
    else:
        chat = ChatEncoder(folder)
        found = [chat.opening([Message("user", prompt)]) for prompt in prompts]
    room_tokens = plan.model.max_sequence_length
    lines = [
        f"evaluate.prompts: {prompt[:40]!r}: {len(ids)} tokens leave no room in a context of {room_tokens}: "
        "shorten the prompt"
        for prompt, ids in zip(prompts, found, strict=True)
        if len(ids) >= room_tokens
    ]
    if lines:
        raise StageError(*lines)
    return found
