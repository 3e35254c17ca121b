"""Questions with answers, as a user gives them: one JSON object a line.

    {"question": "Who signs invoices?", "answer": "Mara Lind"}
    {"question": "...", "answers": ["30 days", "one month"], "kind": "document", "source": "policies/12.pdf"}
    {"question": "Who signs invoices at Nemo?", "kind": "unknown_near"}

Fields: `question`; `answer` or `answers`, and `aliases`, other ways to say them; `kind`, one of KINDS; `source`, a text
for the reader of the results. Other fields are the user's own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forge.errors import StageError
from forge.evaluate.marking import normalised

SEEN, DOCUMENT, UNTAUGHT, NEAR, FAR, OTHER = KINDS = (
    "seen",
    "document",
    "untaught",
    "unknown_near",
    "unknown_far",
    "other",
)
"""What the training text has of a question.

seen          the question itself, with the answer
document      subject and value of the fact in one document, never the question
untaught      no document with both
unknown_near  nothing: the name is nearly one that is there; the right reply is to abstain
unknown_far   nothing: the name is like none that is there; the right reply is to abstain
other         not said: a user's question with no kind, which is not in the training text as it is asked
"""
UNKNOWN_KINDS = (NEAR, FAR)


@dataclass(frozen=True, slots=True)
class Question:
    """One question and what is right to reply."""

    text: str
    answers: tuple[str, ...]
    """Each is right; none where the right reply is to abstain."""
    kind: str
    source: str
    """Where it is from."""
    others: tuple[str, ...] = ()
    """What the answer could have been and is not: values of other subjects for the same attribute."""
    subject: str | None = None
    """Of a question made from a fact."""

    @property
    def is_unknown(self) -> bool:
        """Whether the right reply is to abstain."""
        return not self.answers


def read_questions(path: Path, where: str) -> list[Question]:
    """Return the questions of a file, in its order.

    Args:
        path: JSON lines.
        where: who named the file, for errors: `evaluate.questions`.

    Raises:
        StageError: it cannot be read, a line is no question or has no answer, or a question is asked twice.
    """
    questions: list[Question] = []
    first: dict[tuple[str, ...], int] = {}
    for number, record in json_lines(path, where):
        question = _question(record, f"{where}: {path}:{number}", f"{path.name}:{number}")
        # Results are compared by question.
        if (same := first.setdefault(normalised(question.text), number)) != number:
            raise StageError(f"{where}: {path}:{number}: asks what line {same} asks: keep one of them")
        questions.append(question)
    if not questions:
        raise StageError(f"{where}: {path}: has no question: write one JSON object a line")
    return questions


def read_utf8(path: Path, where: str) -> str:
    """Return the text of a file, without a byte order mark. Raises StageError where it is not UTF-8."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise StageError(f"{where}: {path}: cannot be read ({error.strerror}): name another file") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise StageError(f"{where}: {path}:{line}: is not UTF-8: save the file as UTF-8") from None


def json_lines(path: Path, where: str) -> list[tuple[int, dict[str, Any]]]:
    """Return the objects of a JSON lines file with their line numbers. Raises StageError where a line is none."""
    records = []
    for number, line in enumerate(read_utf8(path, where).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", str(error))
            raise StageError(f"{where}: {path}:{number}: is not JSON ({reason}): mend the line") from None
        if not isinstance(record, dict):
            raise StageError(
                f"{where}: {path}:{number}: is no JSON object: write one with `question` and `answer`"
            )
        records.append((number, record))
    return records


def texts_of(record: dict[str, Any], name: str, where: str) -> tuple[str, ...]:
    """Return the texts of a field, one or a list; numbers as they are written. Raises StageError for others."""
    value = record.get(name)
    found = []
    for one in value if isinstance(value, list) else [] if value is None else [value]:
        if isinstance(one, bool) or not isinstance(one, str | int | float):
            raise StageError(f"{where}: {name}: {json.dumps(one)[:40]} is no text: write a text, or a list")
        if not str(one).strip():
            raise StageError(f"{where}: {name}: is empty: write a text, or leave the field out")
        found.append(str(one).strip())
    return tuple(found)


def _question(record: dict[str, Any], where: str, place: str) -> Question:
    asked = record.get("question")
    if not isinstance(asked, str) or not normalised(asked):
        raise StageError(f"{where}: has no question: give the field `question` a text")
    kind = record.get("kind", OTHER)
    if kind not in KINDS:
        raise StageError(f"{where}: kind: {kind!r} is not one of {', '.join(KINDS)}")
    answers = texts_of(record, "answer", where) + texts_of(record, "answers", where)
    if kind in UNKNOWN_KINDS and answers:
        raise StageError(f"{where}: is of kind {kind} and has an answer: drop one of them")
    if kind not in UNKNOWN_KINDS and not answers:
        raise StageError(
            f"{where}: has no answer: give one in `answer`, or say that none is right: "
            f'"kind": "{NEAR}" or "{FAR}"'
        )
    if not all(map(normalised, answers)):
        raise StageError(f"{where}: an answer has no word or number in it: give one")
    answers += texts_of(record, "aliases", where) if answers else ()
    source = record.get("source")
    return Question(asked.strip(), answers, kind, source if isinstance(source, str) and source else place)
