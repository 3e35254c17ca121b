import json
from pathlib import Path

import pytest

from forge.data.decontamination import contaminated, evaluation_shingles
from forge.data.draft import Draft
from forge.errors import StageError
from tests.data.builders import CORPUS, prose


def draft(text: str) -> Draft:
    return Draft("0", "", "a.txt", "", "", text)


def test_a_run_of_thirteen_words_contaminates_and_twelve_do_not(tmp_path: Path) -> None:
    words = prose(1, 40).split()
    (tmp_path / "exam.txt").write_text(" ".join(words))
    runs = evaluation_shingles([str(tmp_path / "exam.txt")], 13)
    found = contaminated(draft(f"{prose(2)} {' '.join(words[5:19]).upper()}! {prose(3)}"), runs, CORPUS)
    assert found is not None
    assert (found.reason, found.score) == ("evaluation text", 2.0)
    assert contaminated(draft(f"{prose(2)} {' '.join(words[5:17])} {prose(3)}"), runs, CORPUS) is None


def test_every_string_of_json_lines_is_a_text(tmp_path: Path) -> None:
    lines = [{"question": prose(number), "choices": [prose(50 + number)]} for number in range(3)]
    (tmp_path / "exam.jsonl").write_text("\n".join(map(json.dumps, lines)))
    runs = evaluation_shingles([str(tmp_path / "exam.jsonl")], 13)
    assert contaminated(draft(prose(52)), runs, CORPUS) is not None
    assert contaminated(draft(f"{prose(1)[-60:]} {prose(51)[:60]}"), runs, CORPUS) is None


@pytest.mark.parametrize(("name", "content"), [("none.txt", None), ("bad.jsonl", "{"), ("empty.txt", " ")])
def test_a_file_that_is_no_use_is_one_line(tmp_path: Path, name: str, content: str | None) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(StageError, match=r"data\.evaluation_files") as error:
        evaluation_shingles([str(tmp_path / name)], 13)
    assert "\n" not in error.value.lines[0]
