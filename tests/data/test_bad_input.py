"""What users have: one document, texts of all scripts and encodings, a disk that is full, thousands of tiny files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tracemalloc
import unicodedata
from pathlib import Path

import pytest

from forge.data.encoding import load_tokenizer
from forge.data.lake import build_lake
from forge.data.loading import TokenShard
from forge.data.sources import list_files
from forge.data.tokenizer import train_tokenizer
from forge.data.tokens import build_tokens
from forge.errors import StageError
from forge.progress import SilentProgress
from forge.run.artifacts import artifact_folder
from tests.data.builders import LAKE, make_corpus, prose, prose_files, rows, write_folder
from tests.data.resume_child import plan
from tests.factories import TOKENS, tokenizer_defaults

HEBREW = "הסכם זה נערך ונחתם ביום הראשון לחודש בין הצדדים ומחייב את יורשיהם וכל הבאים מכוחם לפי דין " * 3
ARABIC = "يخضع هذا العقد لأحكام القانون ويلتزم الطرفان بتنفيذ جميع بنوده وشروطه في المواعيد المتفق عليها " * 3
EMOJI = "The team 👩‍👩‍👧‍👦 shipped it 🚀 to 🇩🇪 and e\u0301 stays e\u0301, thumbs 👍🏽 up for all of them " * 3
MARKS = "left \u202bימין לשמאל\u202c and \u2067back again\u2069 with marks of direction in the text " * 3


def test_one_document_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="1 documents are one family of near copies") as error:
        make_corpus({"only.txt": prose(1)}, tmp_path)
    assert len(error.value.lines) == 1


def test_every_script_goes_through_and_back_out_of_its_tokens(tmp_path: Path) -> None:
    texts: dict[str, str] = {
        "hebrew.txt": HEBREW,
        "arabic.txt": ARABIC,
        "emoji.txt": EMOJI,
        "marks.txt": MARKS,
    }
    corpus, _ = make_corpus({**prose_files(range(20)), **texts}, tmp_path)
    kept = {row["path"]: row for row in rows(corpus / "corpus.parquet")}
    for name, text in texts.items():
        assert kept[name]["text"].strip() == unicodedata.normalize("NFC", text).strip()
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokens").mkdir()
    vocabulary = tokenizer_defaults() | {"vocab_size": 300}
    train_tokenizer(corpus, vocabulary, tmp_path / "tokenizer", SilentProgress())
    build_tokens(corpus, tmp_path / "tokenizer", TOKENS, tmp_path / "tokens", SilentProgress())
    tokenizer = load_tokenizer(tmp_path / "tokenizer")
    by_id = {row["document_id"]: row["text"] for row in kept.values()}
    for row in rows(tmp_path / "tokens" / "documents.parquet"):
        ids = TokenShard.open(tmp_path / "tokens", row["split"]).window(row["start"], row["tokens"]).tolist()
        assert tokenizer.decode(ids[1:-1], skip_special_tokens=False) == by_id[row["document_id"]]


def test_one_folder_of_many_encodings(tmp_path: Path) -> None:
    german = "Die Kündigungsfrist beträgt für beide Vertragsparteien drei Monate. " * 9
    folder = write_folder(
        tmp_path / "in",
        {
            "utf8.txt": german,
            "bom.txt": german.encode("utf-8-sig"),
            "utf16.txt": german.encode("utf-16"),
            "utf16be.txt": b"\xfe\xff" + german.encode("utf-16-be"),
            "cp1252.txt": german.encode("cp1252"),
        },
    )
    (tmp_path / "out").mkdir()
    summary = build_lake([str(folder)], LAKE, tmp_path / "out", SilentProgress())
    assert (summary["documents"], summary["set_aside"]) == (5, {})
    assert {row["text"] for row in rows(tmp_path / "out" / "lake.parquet")} == {german}


def test_nul_bytes_are_set_aside_in_a_file_and_read_in_a_string(tmp_path: Path) -> None:
    lines = json.dumps({"text": f"a\0b {prose(5)}"}) + "\n"
    corpus, summary = make_corpus(
        prose_files(range(12)) | {"zeros.txt": b"text\0more", "rows.jsonl": lines}, tmp_path
    )
    aside = {row["path"]: row["reason"] for row in rows(tmp_path / "lake" / "set_aside.parquet")}
    assert aside == {"zeros.txt": "binary"}
    assert summary["documents_in"] == 13
    assert "rows.jsonl" in {row["path"] for row in rows(corpus / "corpus.parquet")}


def test_thousands_of_tiny_files_are_listed_in_few_bytes_each(tmp_path: Path) -> None:
    count = 8_000
    for number in range(count):
        folder = tmp_path / "in" / f"{number // 500:03}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:06}.txt").write_text("x")
    list_files(str(tmp_path / "in"))
    tracemalloc.start()
    try:
        listing = list_files(str(tmp_path / "in"))
        now_bytes, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(listing) == count
    assert now_bytes / count < 100
    # While it lists, the names of one folder at a time.
    assert most_bytes / count < 150


LIMITED = """
import resource, runpy, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.argv[:] = ["tests.data.resume_child", *sys.argv[2:]]
runpy.run_module("tests.data.resume_child", run_name="__main__")
"""


def carry_out(stage: str, root: Path, source: Path, most_bytes: int = 1 << 40) -> str:
    """Carry out a stage that may write no file larger than so; return its errors."""
    command = [sys.executable, "-c", LIMITED, str(most_bytes), stage, str(root), str(source), "1"]
    return subprocess.run(command, capture_output=True, text=True).stderr


@pytest.mark.soak
def test_a_full_disk_is_an_error_of_the_disk_and_the_stage_goes_on_from_there(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "in", prose_files(range(150), 300))
    full, roomy = tmp_path / "full", tmp_path / "roomy"
    for stage, most_bytes in (("lake", 60_000), ("corpus", 60_000), ("tokenizer", 0), ("tokens", 40_000)):
        if most_bytes:
            errors = carry_out(stage, full, source, most_bytes)
            assert "OSError" in errors, errors
            assert "File too large" in errors, errors
            assert not artifact_folder(full, plan(stage)).exists()
        assert carry_out(stage, full, source) == ""
        assert carry_out(stage, roomy, source) == ""
        one, two = (artifact_folder(root, plan(stage)) for root in (full, roomy))
        for path in two.iterdir():
            if path.name != "artifact.json":
                assert (one / path.name).read_bytes() == path.read_bytes(), path.name
    shutil.rmtree(full)
