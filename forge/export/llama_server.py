"""llama.cpp's own server around one GGUF file, in this process, spoken to over HTTP on the loopback interface."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from forge.errors import StageError

PACKAGE = "xllamacpp"
CERTAIN = 1e6
"""Added to a logit so that no other can be chosen."""

LIKELY_TOKENS = 1_024
"""Asked for where one has to be among them; all where it is not."""


def require_llama_cpp(formats: Sequence[str]) -> None:
    """Check that the proof of an export in `formats` can run here.

    Raises:
        StageError: it needs llama.cpp, which is not installed.
    """
    named = [name for name in formats if name in ("gguf", "ollama")]
    if named and importlib.util.find_spec(PACKAGE) is None:
        raise StageError(
            f"export.formats: {named[0]}: its proof needs llama.cpp, which is not installed, and nothing is "
            f"published unproven: pip install 'forge-run[verify]', or leave {named[0]} out"
        )


class LlamaServer:
    """A server of one model. It ends when the last reference to it goes."""

    def __init__(self, model: Path, context_tokens: int) -> None:
        """Load `model` for one request at a time.

        Keys and values are kept in fp32 (by default llama.cpp keeps them in fp16, which alone moves logits by 1e-2),
        and each step is computed plainly, so that what is measured is the file.
        """
        import xllamacpp

        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(model)
        parameters.n_ctx = context_tokens
        parameters.n_parallel = 1
        parameters.warmup = False
        parameters.port = 0  # any free one
        parameters.verbosity = -1
        parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self._server = xllamacpp.Server(parameters)
        self.address: str = self._server.listening_address
        self._letter = self.tokenize("a")[-1]

    def post(self, path: str, content: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request; RuntimeError when the server refuses it."""
        where = urllib.parse.urlparse(self.address)
        # One connection a request: the server closes idle ones, and that shows only when the next request fails.
        connection = http.client.HTTPConnection(where.hostname or "", where.port)
        with contextlib.closing(connection):
            connection.request(
                "POST", path, json.dumps(content).encode(), {"Content-Type": "application/json"}
            )
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        if response.status != http.HTTPStatus.OK:
            raise RuntimeError(f"llama.cpp: {path}: {answer}")
        return answer

    def tokenize(self, text: str) -> list[int]:
        """Return the ids of a text, special tokens in it and before it included."""
        answer = self.post("/tokenize", {"content": text, "add_special": True, "parse_special": True})
        ids: list[int] = answer["tokens"]
        return ids

    def apply_template(self, messages: list[dict[str, str]]) -> str:
        """Return the prompt that a chat becomes."""
        prompt: str = self.post("/apply-template", {"messages": messages})["prompt"]
        return prompt

    def next_log_probabilities(self, ids: list[int], top: int) -> dict[int, float]:
        """Return the `top` log-probabilities of the token after `ids` by id, greatest first.

        The server takes 10 microseconds to write down each.
        """
        # It keeps a token back where it ends within a character, and its probabilities with it: so a letter is chosen.
        place = self._complete(ids, self._letter, top)
        assert place is not None
        return {entry["id"]: entry["logprob"] for entry in place["top_logprobs"]}

    def likeliest_and(self, ids: list[int], token: int, vocab_size: int) -> tuple[int, float]:
        """Return the likeliest token after `ids`, and the log-probability of `token` there."""
        place = self._complete(ids, token, top=1)
        if place is not None:
            return place["top_logprobs"][0]["id"], place["logprob"]
        found = self.next_log_probabilities(ids, min(LIKELY_TOKENS, vocab_size))
        if token not in found:
            found = self.next_log_probabilities(ids, vocab_size)
        return next(iter(found)), found[token]

    def _complete(self, ids: list[int], token: int, top: int) -> dict[str, Any] | None:
        """Return what the server says of the place after `ids`, where it is made to choose `token`.

        The probabilities are those before this and all else that acts on the choice: of the `top` likeliest tokens and
        of the chosen one. None where the token ends within a character.
        """
        answer = self.post(
            "/completion",
            {
                "prompt": ids,
                "n_predict": 1,
                "n_probs": top,
                "logit_bias": [[token, CERTAIN]],
                "temperature": 0.0,
                "cache_prompt": True,
            },
        )
        place: dict[str, Any] | None
        (place,) = answer.get("completion_probabilities") or (None,)
        return place
