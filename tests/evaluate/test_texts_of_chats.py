from __future__ import annotations

from forge.data.conversations import Message, to_text
from forge.evaluate.texts import predicted_text


def test_of_a_conversation_the_answers_are_predicted() -> None:
    text = to_text([Message("user", "a?"), Message("assistant", "b."), Message("assistant", "c.")])
    assert predicted_text(text, conversations=True) == "b.c."
    assert predicted_text("a text", conversations=False) == "a text"
