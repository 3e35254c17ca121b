"""Putting questions to the trained model: as the prompts it was trained on, greedily, with nothing else to read."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forge.data.chat_template import ChatEncoder
from forge.data.conversations import Message
from forge.data.encoding import Encoder, load_tokenizer
from forge.evaluate.questions import Question
from forge.evaluate.replies import continuation_nats, greedy_replies
from forge.progress import Progress

CONTRAST_OTHERS = 3
"""Distractors of a contrast: with the true value four, as in the usual tasks of multiple choice."""


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A trained model and how it is asked."""

    network: Any
    """Of transformers, in evaluation mode."""
    tokenizer: Path
    """Folder of its tokenizer."""
    is_chat: bool
    """Whether it was trained on conversations."""
    question_template: str
    """With {question} in it; for one that was trained on documents."""
    reply_tokens: int
    context_tokens: int


def ask_model(model: TrainedModel, questions: Sequence[Question], progress: Progress) -> list[str]:
    """Return the model's reply to each question. `progress` is told of questions."""
    progress.start(len(questions), "questions")
    tokenizer = load_tokenizer(model.tokenizer)
    prompts = prompts_of(model, [question.text for question in questions])
    return greedy_replies(
        model.network,
        prompts,
        lambda ids: str(tokenizer.decode(ids, skip_special_tokens=True)),
        end_ids=reply_ends(model.tokenizer, model.is_chat),
        one_line=not model.is_chat,
        reply_tokens=model.reply_tokens,
        context_tokens=model.context_tokens,
        progress=progress,
    )


def prompts_of(model: TrainedModel, texts: Sequence[str]) -> list[list[int]]:
    """Return the token ids that put each text to the model."""
    if model.is_chat:
        chat = ChatEncoder(model.tokenizer)
        return [chat.opening([Message("user", text)]) for text in texts]
    encoder = Encoder(model.tokenizer)
    filled = [model.question_template.replace("{question}", text) for text in texts]
    return [[encoder.special.bos, *ids.tolist()] for ids in encoder.encode(filled)]


def contrast(
    model: TrainedModel, questions: Sequence[Question], seed: int, progress: Progress
) -> list[bool | None]:
    """Return of each question whether the true answer is likelier than CONTRAST_OTHERS other values, a byte of each.

    None where there are not as many others. Likelihoods are those of the text as the reply, divided by its UTF-8 bytes.
    This shows what is stored, not what would be answered: a model may rank every truth first and still say another.
    """
    progress.start(len(questions), "contrasts")
    encoder = Encoder(model.tokenizer)
    prompts = prompts_of(model, [question.text for question in questions])
    lead = "" if model.is_chat or model.question_template[-1:].isspace() else " "
    found: list[bool | None] = []
    for question, prompt in zip(questions, prompts, strict=True):
        progress.advance()
        if question.is_unknown or len(question.others) < CONTRAST_OTHERS:
            found.append(None)
            continue
        others = random.Random(f"{seed} {question.text}").sample(question.others, CONTRAST_OTHERS)
        values = [lead + value for value in (question.answers[0], *others)]
        ids = [some.tolist() for some in encoder.encode(values)]
        if len(prompt) + max(map(len, ids)) > model.context_tokens:
            found.append(None)
            continue
        nats = continuation_nats(model.network, prompt, ids)
        true, *rest = (one / len(value.encode()) for one, value in zip(nats, values, strict=True))
        found.append(all(true < one for one in rest))
    return found


def reply_ends(tokenizer: Path, is_chat: bool) -> frozenset[int]:
    """Return the ids that end what a model writes: that of the end of a document, and where it chats, of a turn.

    Args:
        tokenizer: folder of its tokenizer.
        is_chat: whether it was trained on conversations.
    """
    ends: set[int | None] = {Encoder(tokenizer).special.eos}
    if is_chat:
        ends.add(load_tokenizer(tokenizer).token_to_id(ChatEncoder(tokenizer).answer_end()))
    return frozenset(end for end in ends if end is not None)
