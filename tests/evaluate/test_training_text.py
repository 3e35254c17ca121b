from __future__ import annotations

from forge.evaluate.questions import Question
from forge.evaluate.training_text import look_up
from forge.progress import SilentProgress

TEXTS = [
    "The Orion 40 costs 1,250 euros. It weighs four kilograms.",
    "What does the Vega 12 cost? 980 euros, as everybody knows.",
    "What does Lyra 7 cost? Nobody says. The Vega 7 is out of stock.",
    "Who leads the firm? Mara Lind.",
]


def fact(subject: str, *answers: str, kind: str = "document") -> Question:
    return Question(f"What does {subject} cost?", answers, kind, "f", subject=subject)


def kinds(*questions: Question) -> list[str]:
    return [question.kind for question in look_up(questions, TEXTS, SilentProgress())]


def test_the_training_text_decides_what_a_fact_is() -> None:
    assert kinds(
        fact("Orion 40", "1250 euros"),  # stated
        fact("Vega 12", "980 euros"),  # asked, with the answer
        fact("Lyra 7", "70 euros"),  # asked, without one
        fact("Orion 40", "9 euros"),
        fact("Draco 95", "1250 euros"),
    ) == ["document", "seen", "untaught", "untaught", "untaught"]


def test_a_made_up_name_that_is_there_after_all_is_not_asked_about() -> None:
    near = [fact("Orion 12", kind="unknown_near"), fact("Vega 7", kind="unknown_near")]
    assert look_up(near, TEXTS, SilentProgress()) == near[:1]


def test_a_question_of_the_users_own_keeps_the_kind_it_has() -> None:
    assert kinds(
        Question("Who leads the firm?", ("Mara Lind",), "other", "q"),
        Question("Who leads it?", ("Mara Lind",), "other", "q"),
        Question("Who leads the firm?", ("Mara Lind",), "untaught", "q"),
        Question("Who leads the ship?", (), "unknown_near", "q"),
    ) == ["seen", "other", "untaught", "unknown_near"]
