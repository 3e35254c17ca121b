import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.data.encoding import LONG_SPACE, Encoder, byte_characters, load_tokenizer
from forge.data.tokenizer import train_tokenizer
from forge.errors import StageError
from forge.export.hard_strings import HARD_STRINGS, random_strings
from forge.progress import SilentProgress
from tests.data.builders import make_corpus, prose_files
from tests.factories import tokenizer_defaults

ENGLISH = (
    "The Licensee shall not, without Licensor's prior consent, they'll say: it's 12,345.67 — §7(b)!\n\n  x\t"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("encoding")
    extra: dict[str, str | bytes] = {
        f"hard-{number}.txt": f"{ENGLISH * 3}{text} {text}" for number, text in enumerate(HARD_STRINGS)
    }
    corpus, _ = make_corpus(prose_files(range(20)) | extra, place, curate=[])
    (place / "tokenizer").mkdir()
    train_tokenizer(corpus, tokenizer_defaults() | {"vocab_size": 700}, place / "tokenizer", SilentProgress())
    return place / "tokenizer"


def same(folder: Path, texts: list[str]) -> None:
    encoder, slow = Encoder(folder), load_tokenizer(folder)
    assert encoder._quick is not None
    for text, ids in zip(texts, encoder.encode(texts), strict=True):
        assert ids.tolist() == slow.encode(text, add_special_tokens=False).ids, repr(text[:80])


def test_the_hard_set_has_the_ids_of_tokenizers(folder: Path) -> None:
    same(folder, [*HARD_STRINGS, *random_strings(1), *random_strings(2)])


@settings(max_examples=300, deadline=None)
@given(text=st.one_of(st.text(), st.text(alphabet="aſ'sKStTDdreRE \n\r\t\u0085\u00a0\u2028ßŉ1٣ẞİ$€")))
def test_any_text_has_the_ids_of_tokenizers(folder: Path, text: str) -> None:
    same(folder, [text])


def test_every_character_has_the_ids_of_tokenizers(folder: Path) -> None:
    points = [*range(0x3000), *range(0xF900, 0x10000), *range(0x1F000, 0x20000)]
    same(
        folder,
        [
            "".join(f"a{chr(point)}b{chr(point)}" for point in points[first : first + 512])
            for first in range(0, len(points), 512)
        ],
    )


def test_white_space_that_tiktoken_cannot_hold_goes_the_slow_way(folder: Path) -> None:
    text = "a" + " " * 150_000 + "b"
    assert LONG_SPACE.search(text)
    same(folder, [text])


def test_a_tokenizer_of_another_structure_goes_the_slow_way(folder: Path, tmp_path: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    content["normalizer"] = {"type": "NFC"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    shutil.copy(folder / "tokenizer_config.json", tmp_path)
    encoder = Encoder(tmp_path)
    assert encoder._quick is None
    assert encoder.encode(["e\u0301"])[0].tolist() == Encoder(folder).encode(["é"])[0].tolist()


def test_the_table_of_bytes_is_whole() -> None:
    table = byte_characters()
    assert sorted(table) == list(range(256))
    assert len(set(table.values())) == 256


@pytest.mark.parametrize(
    "config", [None, "{", "{}", '{"bos_token": "<x>", "eos_token": "<x>", "pad_token": "<x>"}']
)
def test_special_tokens_have_to_be_named(folder: Path, tmp_path: Path, config: str | None) -> None:
    shutil.copy(folder / "tokenizer.json", tmp_path)
    if config is not None:
        (tmp_path / "tokenizer_config.json").write_text(config)
    with pytest.raises(StageError, match="special tokens") as error:
        Encoder(tmp_path)
    assert "\n" not in error.value.lines[0]
