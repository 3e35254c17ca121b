"""A general model is asked over HTTP, by a server of the standard library, and in a folder, by transformers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from forge.errors import StageError
from forge.evaluate.preflight import check_evaluation
from forge.evaluate.rival_key import api_key_of
from forge.evaluate.rivals import INSTRUCTION, ask_endpoint, ask_folder, prompt_of
from forge.progress import SilentProgress
from tests.export.artifacts import planned, write_model, write_tokenizer
from tests.factories import evaluate_defaults


class Server(BaseHTTPRequestHandler):
    """Answers chats in capitals; asked about errors it makes them."""

    seen: list[dict[str, Any]] = []  # noqa: RUF012
    keys: list[str | None] = []  # noqa: RUF012

    def do_POST(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append({"path": self.path, **content})
        key = self.headers["Authorization"]
        self.keys.append(key)
        said = content["messages"][-1]["content"]
        status, answer = 200, json.dumps({"choices": [{"message": {"content": f" {said.upper()}\n"}}]})
        if said == "fail":
            status, answer = 503, "model\nis loading"
        if said == "refuse":
            status, answer = 401, f"wrong key: {key}"
        if said == "elsewhere":
            self.send_response(302)
            self.send_header("Location", f"http://{self.headers['Host']}/other")
            self.end_headers()
            return
        if said == "strange":
            answer = '{"choices": []}'
        if said == "html":
            answer = "<html>"
        self.send_response(status)
        self.end_headers()
        self.wfile.write(answer.encode())

    def do_GET(self) -> None:
        self.keys.append(self.headers["Authorization"])
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_is_asked_each_question_once(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # nothing listens there, and nothing is sent there
    Server.seen.clear()
    assert ask_endpoint(address + "/", "big", ["who?", "where?"], 9, SilentProgress()) == ["WHO?", "WHERE?"]
    assert Server.seen[0] == {
        "path": "/v1/chat/completions",
        "model": "big",
        "messages": [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": "who?"}],
        "temperature": 0,
        "max_tokens": 9,
    }
    assert len(Server.seen) == 2


def test_a_key_is_sent_to_that_server_and_shown_to_nobody(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RIVAL", "sk-secret\n")
    key = api_key_of({"rival_api_key_env": "RIVAL"})
    assert key == "sk-secret"
    Server.keys.clear()
    assert ask_endpoint(address, "big", ["who?"], 9, SilentProgress(), key) == ["WHO?"]
    with pytest.raises(StageError, match=r"answers 401 \(wrong key: Bearer \*\*\*\)"):
        ask_endpoint(address, "big", ["refuse"], 9, SilentProgress(), key)
    with pytest.raises(StageError):  # what it is redirected to is no chat
        ask_endpoint(address, "big", ["elsewhere"], 9, SilentProgress(), key)
    assert Server.keys == ["Bearer sk-secret"] * 3 + [None]


@pytest.mark.parametrize(
    ("value", "message"),
    [(None, "is not set"), (" ", "is not set"), ("a\nb", "no key has"), ("é", "no key has")],
)
def test_a_key_that_is_not_there_is_one_line_before_the_training(
    value: str | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RIVAL", raising=False)
    if value is not None:
        monkeypatch.setenv("RIVAL", value)
    with pytest.raises(StageError, match=rf"^evaluate\.rival_api_key_env: RIVAL: .*{message}") as caught:
        check_evaluation({**evaluate_defaults(), "rival_api_key_env": "RIVAL"})
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("fail", r"answers 503 \(model is loading\)"),
        ("strange", "something else than a chat"),
        ("html", "something else than a chat"),
    ],
)
def test_a_server_that_fails_is_one_line(address: str, prompt: str, message: str) -> None:
    with pytest.raises(StageError, match=message) as caught:
        ask_endpoint(address, "big", [prompt], 9, SilentProgress())
    assert len(str(caught.value).splitlines()) == 1


def test_no_server_is_one_line() -> None:
    with pytest.raises(
        StageError, match=r"^evaluate\.rival_endpoint: http://127\.0\.0\.1:1/v1/.* does not answer"
    ):
        ask_endpoint("http://127.0.0.1:1/v1", "big", ["who?"], 9, SilentProgress())


def test_passages_come_before_the_question() -> None:
    prompt = prompt_of("Who?", ("Mara signs.", "Ada reads."))
    assert prompt.index("Mara signs.") < prompt.index("Ada reads.") < prompt.index("Who?")
    assert prompt_of("Who?", ()) == "Who?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place: Path = tmp_path_factory.mktemp("rival")
    write_tokenizer(place)
    write_model(place, planned({"max_sequence_length": 256}).model)
    return place


def test_a_folder_is_asked_in_its_own_form(folder: Path) -> None:
    replies = ask_folder(folder, "cpu", ["the licence?", "the licence?", "another?"], 5, SilentProgress())
    assert replies[0] == replies[1]
    assert len(replies) == 3
    assert all("\n" not in reply for reply in replies)
    assert any(replies)


def test_a_folder_without_a_model_is_one_line(tmp_path: Path, folder: Path) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(StageError, match=r"^evaluate\.rival_folder: .*: no model to load") as caught:
        ask_folder(tmp_path, "cpu", ["who?"], 5, SilentProgress())
    assert len(str(caught.value).splitlines()) == 1
