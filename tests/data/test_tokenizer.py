import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import transformers
from hypothesis import HealthCheck, settings
from hypothesis import given as examples
from hypothesis import strategies as st
from tokenizers import Tokenizer

from forge.data.encoding import Encoder, load_tokenizer
from forge.data.tokenizer import BOS, EOS, PAD, QWEN2_PATTERN, SAMPLE, Earlier, check_given, train_tokenizer
from forge.errors import StageError
from forge.progress import SilentProgress
from tests.data.builders import make_corpus, prose_files
from tests.factories import tokenizer_defaults

PARAMETERS: dict[str, Any] = tokenizer_defaults() | {"vocab_size": 320, "special_tokens": None}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(prose_files(range(30)), tmp_path_factory.mktemp("corpus"))[0]


@pytest.fixture(scope="module")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tokenizer")
    summary = train_tokenizer(corpus, PARAMETERS, out, SilentProgress())
    assert summary["vocab_size"] == 320
    return out


def test_the_pattern_is_the_published_one() -> None:
    digest = hashlib.sha256(QWEN2_PATTERN.encode()).hexdigest()
    assert digest == "1ff7f41064896984db5d1bb6ff64fa4bc29007d08c1b439e505b7392777a319e"


def test_the_file_has_the_structure_servers_recognise(trained: Path) -> None:
    content = json.loads((trained / "tokenizer.json").read_text())
    split, bytes_ = content["pre_tokenizer"]["pretokenizers"]
    assert content["normalizer"] is None
    assert split["pattern"] == {"Regex": QWEN2_PATTERN}
    assert (split["type"], split["behavior"], split["invert"]) == ("Split", "Isolated", False)
    assert (bytes_["type"], bytes_["add_prefix_space"], bytes_["use_regex"]) == ("ByteLevel", False, False)
    assert content["decoder"]["type"] == "ByteLevel"
    assert content["truncation"] is content["padding"] is None
    assert [(token["id"], token["content"]) for token in content["added_tokens"]] == [
        (0, BOS),
        (1, EOS),
        (2, PAD),
    ]
    assert len(content["model"]["vocab"]) == 320
    assert not content["model"]["ignore_merges"]


def test_bos_is_added_and_eos_is_not(trained: Path) -> None:
    tokenizer = Tokenizer.from_file(str(trained / "tokenizer.json"))
    ids = tokenizer.encode("ba ce").ids
    assert ids[0] == 0
    assert 1 not in ids
    assert tokenizer.encode("ba ce", add_special_tokens=False).ids == ids[1:]


def test_transformers_reads_it_the_same(trained: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(trained)
    plain = Tokenizer.from_file(str(trained / "tokenizer.json"))
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (0, 1, 2)
    for text in ("ba ce di", " Łódź  2024\n\n x", "a ,b 's", f"{EOS} spelt out"):
        ids = tokenizer(text)["input_ids"]
        assert ids == plain.encode(text).ids
    assert tokenizer.decode(tokenizer("ba , ce .")["input_ids"], skip_special_tokens=True) == "ba , ce ."


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@examples(text=st.text())
def test_any_text_comes_back_to_the_byte(trained: Path, text: str) -> None:
    tokenizer = load_tokenizer(trained)
    assert (
        tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids, skip_special_tokens=False)
        == text
    )


@pytest.mark.parametrize("token", [BOS, EOS, PAD])
def test_a_document_that_spells_a_special_token_is_text(trained: Path, token: str) -> None:
    tokenizer = load_tokenizer(trained)
    ids = tokenizer.encode(f"before {token} after {token}", add_special_tokens=False).ids
    assert not {0, 1, 2} & set(ids)
    assert tokenizer.decode(ids, skip_special_tokens=False) == f"before {token} after {token}"


def test_two_runs_give_the_same_bytes(corpus: Path, trained: Path, tmp_path: Path) -> None:
    train_tokenizer(corpus, PARAMETERS, tmp_path, SilentProgress())
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / name).read_bytes() == (trained / name).read_bytes()


def test_held_out_text_is_not_looked_at(corpus: Path, trained: Path, tmp_path: Path) -> None:
    table = parquet.read_table(corpus / "corpus.parquet")
    changed = [
        text + " zzz zzzz" * 50 if split == "held_out" else text
        for text, split in zip(table["text"].to_pylist(), table["split"].to_pylist(), strict=True)
    ]
    place = table.schema.get_field_index("text")
    table = table.set_column(place, table.schema.field(place), pa.array(changed, pa.large_string()))
    parquet.write_table(table, tmp_path / "corpus.parquet")
    train_tokenizer(tmp_path, PARAMETERS, tmp_path, SilentProgress())
    assert (tmp_path / "tokenizer.json").read_bytes() == (trained / "tokenizer.json").read_bytes()


def test_too_large_a_vocabulary_is_told_what_fits(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="32000 asked, this corpus supports") as error:
        train_tokenizer(corpus, PARAMETERS | {"vocab_size": 32_000}, tmp_path, SilentProgress())
    (line,) = error.value.lines
    fits = int(line.split("tokenizer.vocab_size=")[1].split()[0])
    assert fits % 256 == 0
    train_tokenizer(corpus, PARAMETERS | {"vocab_size": fits}, tmp_path, SilentProgress())


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"vocab_size": 258}, r"tokenizer\.vocab_size: 258 asked, 259 is the least"),
        ({"kind": "unigram"}, r"tokenizer\.kind: unigram: set byte_level_bpe"),
        ({"pattern": "gpt2"}, r"tokenizer\.pattern: gpt2: set one of qwen2"),
    ],
)
def test_wrong_parameters_are_one_line(
    corpus: Path, tmp_path: Path, change: dict[str, Any], line: str
) -> None:
    with pytest.raises(StageError, match=line):
        train_tokenizer(corpus, PARAMETERS | change, tmp_path, SilentProgress())


@pytest.mark.parametrize("content", [None, "{", "{}", '{"model": {}}'])
def test_a_damaged_tokenizer_is_one_line(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(StageError, match="train the tokenizer again") as error:
        load_tokenizer(tmp_path)
    assert "\n" not in error.value.lines[0]


def test_chat_tokens_come_after_the_others_and_no_text_spells_them(corpus: Path, tmp_path: Path) -> None:
    chat = ["<|user|>", "<|end|>"]
    train_tokenizer(corpus, PARAMETERS | {"special_tokens": chat}, tmp_path, SilentProgress())
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert [tokenizer.token_to_id(token) for token in (BOS, EOS, PAD, *chat)] == [0, 1, 2, 3, 4]
    assert not {3, 4} & set(
        load_tokenizer(tmp_path).encode("<|user|> x <|end|>", add_special_tokens=False).ids
    )
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["additional_special_tokens"] == chat


def test_a_sample_is_of_the_size_asked_and_of_the_seed(corpus: Path, tmp_path: Path) -> None:
    train_bytes = train_tokenizer(corpus, PARAMETERS, tmp_path, SilentProgress())["sample_bytes"]
    found = set()
    for seed in range(6):
        parameters = PARAMETERS | {"sample_bytes": train_bytes // 2, "seed": seed, "vocab_size": 280}
        summary = train_tokenizer(corpus, parameters, tmp_path, SilentProgress())
        assert 0 < summary["sample_bytes"] < train_bytes
        found.add((summary["sample_bytes"], summary["sample_documents"]))
    assert len(found) > 1


def given(folder: Path, config: dict[str, Any]) -> Path:
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def test_a_given_tokenizer_is_taken_as_it_is(corpus: Path, trained: Path, tmp_path: Path) -> None:
    shutil.copy(trained / "tokenizer.json", tmp_path)
    given(tmp_path, {"eos_token": {"content": EOS}, "pad_token": PAD, "chat_template": "x"})
    (tmp_path / "out").mkdir()
    parameters = PARAMETERS | {"path": str(tmp_path), "reference": str(trained)}
    summary = train_tokenizer(corpus, parameters, tmp_path / "out", SilentProgress())
    assert summary["kind"] == "given"
    assert summary["held_out_bytes_per_token"] == summary["reference_held_out_bytes_per_token"] > 1
    encoder = Encoder(tmp_path / "out")
    assert (encoder.special.bos, encoder.special.eos, encoder.special.pad) == (1, 1, 2)
    assert Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json")).encode("ba").ids[0] == 1
    assert json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())["chat_template"] == "x"


@pytest.mark.parametrize(
    ("config", "change", "line"),
    [
        ({"eos_token": EOS, "pad_token": PAD}, {"vocab_size": 321}, "set tokenizer.vocab_size=320"),
        ({"eos_token": EOS, "pad_token": EOS}, {}, "pad_token <|eos|> is also the eos_token"),
        ({"pad_token": PAD}, {}, "no bos_token: name one"),
        ({"eos_token": "<nowhere>", "pad_token": PAD}, {}, "no bos_token: name one"),
    ],
)
def test_a_given_tokenizer_that_will_not_do_is_one_line(
    corpus: Path, trained: Path, tmp_path: Path, config: dict[str, Any], change: dict[str, Any], line: str
) -> None:
    shutil.copy(trained / "tokenizer.json", tmp_path)
    parameters = PARAMETERS | {"path": str(given(tmp_path, config))} | change
    with pytest.raises(StageError) as error:
        train_tokenizer(corpus, parameters, tmp_path, SilentProgress())
    assert line in error.value.lines[0]


def test_a_folder_that_is_no_tokenizer_is_said_before_anything_is_read(tmp_path: Path) -> None:
    check_given(None)
    with pytest.raises(
        StageError, match=r"^tokenizer.path: .*: has no tokenizer.json: name the folder of a "
    ):
        check_given(str(tmp_path))
    (tmp_path / "tokenizer.json").touch()
    with pytest.raises(StageError, match=r"has no tokenizer_config.json"):
        check_given(str(tmp_path))
    given(tmp_path, {})
    check_given(str(tmp_path))


@pytest.mark.parametrize("chat", [False, True])
def test_what_was_learnt_from_the_same_sample_is_not_learnt_again(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chat: bool
) -> None:
    learnt: list[str] = []
    learn = Tokenizer.train_from_iterator

    def made(
        name: str, how: str, *earlier: str, of: Path = corpus
    ) -> tuple[dict[str, bytes], dict[str, Any]]:
        out = tmp_path / name
        out.mkdir()

        def noted(self: Tokenizer, *rest: Any) -> None:
            learnt.append(name)
            learn(self, *rest)

        monkeypatch.setattr(Tokenizer, "train_from_iterator", noted, raising=False)
        special = ["<|user|>", "<|assistant|>", "<|end|>", "<|system|>"]
        parameters = PARAMETERS | {"chat": chat, "special_tokens": special}
        known = Earlier(how, tuple(tmp_path / one for one in (*earlier, "none")))
        summary = train_tokenizer(of, parameters, out, SilentProgress(), known)
        return {path.name: path.read_bytes() for path in out.iterdir()}, summary

    first = made("first", "so")
    assert made("second", "so", "first") == first
    assert learnt == ["first"]
    assert made("third", "otherwise", "first")[0]["tokenizer.json"] == first[0]["tokenizer.json"]
    more, _ = make_corpus(prose_files(range(31)), tmp_path / "more")
    other, _ = made("fourth", "so", "first", "third", of=more)
    assert learnt == ["first", "third", "fourth"]
    assert json.loads(other[SAMPLE]) != json.loads(first[0][SAMPLE])
    (tmp_path / "first" / "tokenizer.json").write_text("{}")
    assert made("fifth", "so", "first") == first
    assert learnt[-1] == "fifth"
