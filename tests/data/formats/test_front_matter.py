import pytest

from forge.data.formats.front_matter import FrontMatterError, split_front_matter


def test_fields_and_body() -> None:
    fields, body = split_front_matter("---\nkey: mit\ntags: [a, b]\n---\n\nThe text\n---\nmore\n")
    assert fields == {"key": "mit", "tags": ["a", "b"]}
    assert body == "The text\n---\nmore\n"


@pytest.mark.parametrize(
    "text", ["no front matter", "--- dashes\nx\n---\n", "---\nnever closed", "x\n---\na: 1\n---\n"]
)
def test_other_texts_are_left_whole(text: str) -> None:
    assert split_front_matter(text) == ({}, text)


def test_prose_between_two_rules_is_text() -> None:
    text = "---\njust prose\n---\nmore prose"
    assert split_front_matter(text) == ({}, text)


def test_an_empty_body() -> None:
    assert split_front_matter("---\nkey: x\n---") == ({"key": "x"}, "")


@pytest.mark.parametrize("block", ["key: [", "a: b: c", "d: 2024-99-99"])
def test_broken_yaml_says_so(block: str) -> None:
    with pytest.raises(FrontMatterError) as error:
        split_front_matter(f"---\n{block}\n---\ntext")
    assert "\n" not in str(error.value)


def test_aliases_are_refused_before_they_grow() -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    with pytest.raises(FrontMatterError, match="aliases"):
        split_front_matter("---\n" + "\n".join(lines) + "\n---\n")


def test_an_ampersand_in_an_address_is_no_alias() -> None:
    assert split_front_matter("---\nurl: http://x/?a=1&b=2\n---\nt")[0] == {"url": "http://x/?a=1&b=2"}


def test_no_objects_are_made() -> None:
    with pytest.raises(FrontMatterError):
        split_front_matter("---\nx: !!python/object/apply:os.system ['true']\n---\n")
