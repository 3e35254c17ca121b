from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from forge.errors import SpecError
from forge.spec.safe_yaml import parse
from forge.spec.show import explain, origins_to_json, spec_to_yaml, yaml_scalar
from tests.spec.workspace import Workspace


def test_a_spec_is_yaml_with_the_place_of_every_value(workspace: Workspace) -> None:
    workspace.write("recipes/x.yaml", "defaults:\n  - override /export: hf\nname: legal\n")
    text = spec_to_yaml(workspace.compose("recipe=x", "evaluate.prompts=[a b,'c: d']", "model=llama_3m"))
    assert text.startswith(
        "name: legal                                       # recipes/x.yaml:3\n"
        "seed: 1234                                        # conf/config.yaml:17\n"
        "output_dir: .                                     # conf/config.yaml:18\n"
        "hostfile: null                                    # conf/config.yaml:19\n"
        "remote_shell: ssh                                 # conf/config.yaml:20\n"
        "\n"
        "data:                                             # folder, conf/config.yaml:3\n"
        "  path: null                                      # conf/data/folder.yaml:2\n"
    )
    assert (
        "  prompts:                                        # command line\n"
        "    - a b\n"
        '    - "c: d"\n'
        "  sample_tokens: 80                               # conf/evaluate/held_out.yaml:5\n"
    ) in text
    assert (
        "\nmodel:                                            # llama_3m, command line\n"
        "  init_from: null                                 # conf/model/llama_25m.yaml:18\n"
        "  family: llama                                   # conf/model/llama_25m.yaml:2\n"
        "  layers: 4                                       # conf/model/llama_3m.yaml:5\n"
    ) in text
    assert "\nexport:                                           # hf, recipes/x.yaml:2\n" in text
    assert "  adam_epsilon: 1.0e-08                           # conf/train/pretrain.yaml:15\n" in text
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["data=licence_texts", "model=mixtral_8x1b", "hardware=8xh100"],
        ["data.path=/a b: c # d", "evaluate.prompts=[]", "data.metadata_allow={a:[b,'1e5',null_]}"],
        ["data.path=日本 🙂", "evaluate.prompts=['true','null','0123',' x ','- y','a\nb',\"it's\"]"],
        ["train.learning_rate=1e-20", "train.tokens=100000000000000", "hardware.price_source='12:30'"],
    ],
)
def test_reading_it_gives_the_spec_again(workspace: Workspace, overrides: list[str]) -> None:
    spec = workspace.compose(*overrides)
    text = spec_to_yaml(spec)
    document = parse(text)
    assert document.errors == []
    assert document.values == spec.values
    assert yaml.safe_load(text) == spec.values


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (3, "3"),
        (0.001, "0.001"),
        (1e-5, "1.0e-05"),
        (1.5e-7, "1.5e-07"),
        (1e22, "1.0e+22"),
        ("plain text", "plain text"),
        ("a, b", '"a, b"'),
        ("8", '"8"'),
        ("no", '"no"'),
        ("0x1F", '"0x1F"'),
        ("", '""'),
        (" x", '" x"'),
        ("-", '"-"'),
        ("a\n\tb", '"a\\n\\tb"'),
        ("\u2028\ue000", '"\\u2028\\ue000"'),
        ("\U000e0001", '"\\U000e0001"'),
        ([1, "a", []], "[1, a, []]"),
        ({"a": {"b": None}}, "{a: {b: null}}"),
    ],
)
def test_a_value_is_written_as_people_write_it(value: Any, text: str) -> None:
    assert yaml_scalar(value) == text


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(
        st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff")
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=5,
)


@given(values)
def test_any_value_is_read_back_by_any_yaml(value: Any) -> None:
    text = f"a: {yaml_scalar(value)}\n"
    assert yaml.safe_load(text) == {"a": value}
    assert type(yaml.safe_load(text)["a"]) is type(value)


def test_why_a_value_is_what_it_is(workspace: Workspace) -> None:
    workspace.write("recipes/legal_tiny.yaml", "# about\ntrain:\n  learning_rate: 3e-3\n")
    spec = workspace.compose("recipe=legal_tiny")
    assert explain(spec, "train.learning_rate") == [
        "train.learning_rate = 0.003",
        "  recipes/legal_tiny.yaml:3   0.003",
        "  conf/train/pretrain.yaml:7  0.001",
    ]
    assert explain(
        workspace.compose("recipe=legal_tiny", "train.learning_rate=1"), "train.learning_rate"
    ) == [
        "train.learning_rate = 1.0",
        "  command line                1",
        "  recipes/legal_tiny.yaml:3   0.003",
        "  conf/train/pretrain.yaml:7  0.001",
    ]


def test_why_a_group_is_what_it_is(workspace: Workspace) -> None:
    lines = explain(workspace.compose("export=hf"), "export")
    assert lines == [
        "export = hf",
        "  command line         hf",
        "  conf/config.yaml:10  hf",
        "export.formats = [hf]",
        "  conf/export/hf.yaml:2  [hf]",
        "export.dtype = auto",
        "  conf/export/hf.yaml:3  auto",
        "export.gguf_types = [f16, q8_0]",
        "  conf/export/hf.yaml:4  [f16, q8_0]",
    ]


def test_why_a_reference_says_what_was_written(workspace: Workspace) -> None:
    spec = workspace.compose("evaluate.sample_tokens=${train.log_every_steps}")
    assert explain(spec, "evaluate.sample_tokens")[:2] == [
        "evaluate.sample_tokens = 10",
        '  command line                   "${train.log_every_steps}"',
    ]


def test_why_a_mapping_below_a_group(workspace: Workspace) -> None:
    spec = workspace.compose("data.metadata_allow={a:[b],c:[d]}")
    assert explain(spec, "data.metadata_allow") == [
        "data.metadata_allow.a = [b]",
        "  command line  [b]",
        "data.metadata_allow.c = [d]",
        "  command line  [d]",
    ]


def test_why_of_every_key_and_group_is_answered(workspace: Workspace) -> None:
    spec = workspace.compose("hardware=8xh100")
    for group in spec.choices:
        assert explain(spec, group)[0] == f"{group} = {spec.choices[group]}"
        for key in spec.values[group]:
            assert explain(spec, f"{group}.{key}")[0].startswith(f"{group}.{key} = ")


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("train.lr", "command line: train.lr: no such key. did you mean train.learning_rate?"),
        ("lerning_rate", "command line: lerning_rate: no such key. did you mean train.learning_rate?"),
        ("trian", "command line: trian: no such key. did you mean train?"),
        ("train.tokens.x", "command line: train.tokens.x: no such key: train.tokens is a value, not a group"),
        ("data.metadata_allow.kind", "command line: data.metadata_allow.kind: is not set"),
        ("a\nb", "command line: a\\nb: no such key"),
        ("", "command line: : no such key"),
    ],
)
def test_why_of_an_unknown_key_is_one_line(workspace: Workspace, key: str, line: str) -> None:
    with pytest.raises(SpecError) as raised:
        explain(workspace.compose(), key)
    assert len(raised.value.lines) == 1
    assert raised.value.lines[0].startswith(line)


def test_the_places_of_all_values_are_kept_as_json(workspace: Workspace) -> None:
    workspace.write("recipes/legal_tiny.yaml", "# about\ntrain:\n  learning_rate: 3e-3\n")
    spec = workspace.compose("recipe=legal_tiny", "export=hf")
    kept = json.loads(origins_to_json(spec))
    assert kept["train.learning_rate"] == [
        {"where": "recipes/legal_tiny.yaml:3", "value": 0.003},
        {"where": "conf/train/pretrain.yaml:7", "value": 0.001},
    ]
    assert kept["export"][0] == {"where": "command line", "value": "hf"}
    assert set(kept) == {".".join(key) for key in spec.origins} | set(spec.choice_origins)
