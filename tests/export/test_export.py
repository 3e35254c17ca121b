from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

import forge
from forge.errors import StageError
from forge.export import hf_folder
from forge.export.export import Trained, export_model
from forge.export.proof import prove_hf
from forge.progress import SilentProgress
from tests.export.artifacts import FAMILIES, planned, write_model

GENERATE = """
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer

model, tokenizer = AutoModelForCausalLM.from_pretrained(sys.argv[1]), AutoTokenizer.from_pretrained(sys.argv[1])
batch = tokenizer("the licence grants", return_tensors="pt")
ids = model.generate(**batch, max_new_tokens=8, do_sample=False)
assert "forge" not in sys.modules
assert ids[0, 0] == tokenizer.bos_token_id == 0
assert tokenizer.model_max_length == 64
print(repr(tokenizer.decode(ids[0], skip_special_tokens=True)))
"""


def export(
    trained: Path, out: Path, train: Path | None = None, shape: Mapping[str, Any] | None = None, **export: Any
) -> dict[str, Any]:
    out.mkdir()
    folders = Trained(
        train=train or trained / "train",
        tokenizer=trained / "tokenizer",
        tokens=trained / "tokens",
        evaluation=trained / "evaluation",
        steps=6,
    )
    return export_model(planned(shape, export={"dtype": "bf16"} | export), folders, out, SilentProgress())


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("exported") / "out"
    export(trained, folder)
    return folder


def test_the_folder_holds_what_readers_look_for(exported: Path) -> None:
    names = {path.name for path in (exported / "hf").iterdir()}
    assert names == {
        "README.md",
        "SHA256SUMS",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert {path.name for path in exported.iterdir()} == {"hf", "export.json"}


def test_older_transformers_can_read_it(exported: Path) -> None:
    config, words, generation = (
        json.loads((exported / "hf" / name).read_text())
        for name in ("config.json", "tokenizer_config.json", "generation_config.json")
    )
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 50_000.0
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["dtype"] == "bfloat16"
    assert words["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert words["model_input_names"] == ["input_ids", "attention_mask"]
    ids = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    assert ids.items() <= config.items()
    assert ids.items() <= generation.items()


def test_everybody_may_read_it(exported: Path) -> None:
    assert stat.S_IMODE((exported / "hf").stat().st_mode) == 0o755
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (exported / "hf").iterdir()}
    assert modes == {0o644}


def test_export_json_says_what_was_proven(exported: Path) -> None:
    result = json.loads((exported / "export.json").read_text())
    assert result["plan_id"] == planned().id
    assert result["name"] == "tiny"
    assert result["forge_version"] == forge.__version__
    assert result["dtype"] == "bf16"
    assert result["pre_tokenizer"] == "qwen2"
    assert result["proof"]["hf"]["logit_positions_equal"] > 500
    assert set(result["versions"]) == {"torch", "transformers", "tokenizers", "safetensors"}
    files = {path.name: path for path in (exported / "hf").iterdir()}
    assert set(result["sha256"]["hf"]) == set(files) - {"SHA256SUMS"}
    for name, digest in result["sha256"]["hf"].items():
        assert hashlib.sha256(files[name].read_bytes()).hexdigest() == digest
    assert result["bytes"] == sum(path.stat().st_size for path in files.values())


def test_sha256sum_accepts_the_checksums(exported: Path) -> None:
    command = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    finished = subprocess.run(command, cwd=exported / "hf", capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count(": OK") == 6


def test_the_card_holds_numbers_and_no_text(exported: Path) -> None:
    card = (exported / "hf" / "README.md").read_text()
    assert "1.2345" in card
    assert "4,567 bytes" in card
    assert "not measured" in card
    assert "from_pretrained" in card
    assert "The owner of the training documents states it here" in card
    for private in ("secret", "/private/place", str(exported)):
        assert private not in card


def test_it_writes_text_without_forge(exported: Path, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    finished = subprocess.run(
        [sys.executable, "-P", "-c", GENERATE, str(exported / "hf")],
        env=environment | {"HF_HUB_OFFLINE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith("'the licence grants")
    assert "Warning" not in finished.stderr


@pytest.mark.usefixtures("proven_here")
@pytest.mark.parametrize("shape", FAMILIES[1:])
def test_other_families_in_another_dtype(trained: Path, tmp_path: Path, shape: dict[str, Any]) -> None:
    write_model(tmp_path / "train", planned(shape).model, torch.float32)
    result = export(trained, tmp_path / "out", tmp_path / "train", shape)
    assert result["proof"]["hf"]["trained_dtype"] == "float32"
    assert result["proof"]["hf"]["exported_dtype"] == "bfloat16"
    assert 0 < result["proof"]["hf"]["cast_logits_mean_deviation"] < 0.1
    with safe_open(tmp_path / "out" / "hf" / "model.safetensors", framework="pt") as stream:
        assert {stream.get_tensor(name).dtype for name in stream.keys()} == {torch.bfloat16}  # noqa: SIM118
    config = json.loads((tmp_path / "out" / "hf" / "config.json").read_text())
    if shape["family"] == "qwen3_moe":  # what 4.57 reads, and servers
        assert (config["num_experts"], config["moe_intermediate_size"]) == (4, 64)


@pytest.mark.usefixtures("proven_here")
def test_a_large_model_is_cut_into_shards(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hf_folder, "MAX_SHARD_BYTES", 20_000)
    result = export(trained, tmp_path / "out")
    index = json.loads((tmp_path / "out" / "hf" / "model.safetensors.index.json").read_text())
    shards = set(index["weight_map"].values())
    assert len(shards) > 1
    assert shards < set(result["sha256"]["hf"])


@pytest.mark.usefixtures("proven_here")
def test_the_same_model_gives_the_same_bytes(exported: Path, trained: Path, tmp_path: Path) -> None:
    again = export(trained, tmp_path / "out")
    assert again["sha256"] == json.loads((exported / "export.json").read_text())["sha256"]


def test_what_cannot_be_expressed_is_refused_before_writing(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"export\.dtype: 'int8' is not known: choose from bf16, fp32"):
        export(trained, tmp_path / "out", dtype="int8")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_failed_proof_is_one_line(trained: Path, hf: Path) -> None:
    config = json.loads((hf / "config.json").read_text())
    (hf / "config.json").write_text(json.dumps(config | {"rope_theta": 10_000.0}))
    with pytest.raises(
        StageError, match=r"^export: the written folder is not the trained model: config\.json: rope_t"
    ):
        prove_hf(trained / "train", trained / "tokenizer", hf)


def test_a_folder_that_does_not_load_is_one_line(trained: Path, hf: Path) -> None:
    (hf / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(
        StageError, match=r"^export: the written folder cannot be checked: .*nothing was published$"
    ):
        prove_hf(trained / "train", trained / "tokenizer", hf)


@pytest.mark.usefixtures("proven_here")
def test_a_given_tokenizer_that_rewrites_text_goes_to_hugging_face_alone(
    trained: Path, tmp_path: Path
) -> None:
    given = tmp_path / "given"
    shutil.copytree(trained, given)
    path = given / "tokenizer" / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"normalizer": {"type": "Lowercase"}}))
    result = export(given, tmp_path / "out")
    assert result["pre_tokenizer"] is None
    assert result["proof"]["hf"]["tokenizer_strings_equal"] > 400
    with pytest.raises(StageError, match=r"normalizer is Lowercase, not none: .* or export to hf alone$"):
        export(given, tmp_path / "refused", formats=["hf", "gguf"])
    assert list((tmp_path / "refused").iterdir()) == []
