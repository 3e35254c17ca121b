from __future__ import annotations

from forge.data import preferences
from forge.data.conversations import Message, to_text
from forge.data.preferences import Preference
from forge.evaluate.texts import predicted_text


def test_of_a_conversation_the_answers_are_predicted() -> None:
    text = to_text([Message("user", "a?"), Message("assistant", "b."), Message("assistant", "c.")])
    assert predicted_text(text, "sft") == "b.c."
    assert predicted_text("a text", "pretrain") == "a text"


def test_of_a_preference_the_preferred_answers_are_predicted() -> None:
    prompt = (Message("user", "a?"), Message("assistant", "b."), Message("user", "c?"))
    chosen = (Message("assistant", "d."), Message("user", "e?"), Message("assistant", "f."))
    text = preferences.to_text(Preference(prompt, chosen, (Message("assistant", "g."),)))
    assert predicted_text(text, "dpo") == "d.f."
