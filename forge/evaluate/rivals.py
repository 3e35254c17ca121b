"""A general model that the user names, asked the same questions: behind an OpenAI-compatible API, or in a folder."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from forge.errors import StageError
from forge.evaluate.replies import greedy_replies
from forge.progress import Progress
from forge.quiet import quiet_transformers

INSTRUCTION = (
    "Answer the question with the bare answer, in as few words as possible, without a sentence around it. "
    "If you do not know the answer, say: I do not know"
)
IF_NOT_THERE = "If the passages do not have the answer, say: I do not know"
TIMEOUT_S = 300.0
"""Of one request: a model on a CPU takes its time."""

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""To the address that the user gave, whatever proxy the environment names."""


def prompt_of(question: str, passages: Sequence[str]) -> str:
    """Return what a general model is asked, with what it may read before the question."""
    if not passages:
        return question
    listed = "\n\n".join(passages)
    return f"Passages:\n\n{listed}\n\n{IF_NOT_THERE}\n\nQuestion: {question}"


def ask_endpoint(
    address: str,
    model: str,
    prompts: Sequence[str],
    reply_tokens: int,
    progress: Progress,
    api_key: str | None = None,
) -> list[str]:
    """Return the replies of a server to each prompt, one request each, at temperature 0.

    Args:
        address: of the API, up to and with /v1.
        model: as the server calls it.
        prompts: as the user's message, after INSTRUCTION as the system's.
        reply_tokens: most tokens of a reply.
        progress: told of questions.
        api_key: sent as a bearer token, to that address alone; None sends none.

    Raises:
        StageError: no answer, or none that is one of a chat.
    """
    progress.start(len(prompts), "questions")
    replies = []
    for prompt in prompts:
        content = {
            "model": model,
            "messages": [
                {"role": "system", "content": INSTRUCTION},
                {"role": "user", "content": prompt},
            ],
            "temperature": 0,
            "max_tokens": reply_tokens,
        }
        replies.append(_post(f"{address.rstrip('/')}/chat/completions", content, api_key))
        progress.advance()
    return replies


def ask_folder(
    folder: Path, device: str, prompts: Sequence[str], reply_tokens: int, progress: Progress
) -> list[str]:
    """Return the greedy replies of the model in a Hugging Face folder; as `ask_endpoint`.

    One without a chat template is given the prompt as a question to go on from, and its reply is one line.

    Raises:
        StageError: the folder has no model that can be loaded without running code of its own.
    """
    import transformers

    progress.start(len(prompts), "questions")
    quiet_transformers()
    try:
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        network: Any = transformers.AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype="auto"
        )
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise StageError(
            f"evaluate.rival_folder: {folder}: no model to load ({reason}): name a Hugging Face folder"
        ) from None
    chats = tokenizer.chat_template is not None
    ids = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": f"{INSTRUCTION}\n\n{prompt}"}],
            add_generation_prompt=True,
            return_dict=True,
        )["input_ids"]
        if chats
        else tokenizer(f"{INSTRUCTION}\n\n{prompt}\nAnswer:")["input_ids"]
        for prompt in prompts
    ]
    ends = network.generation_config.eos_token_id
    return greedy_replies(
        network.to(device).eval(),
        ids,
        lambda some: str(tokenizer.decode(some, skip_special_tokens=True)),
        end_ids=frozenset(
            end
            for end in (ends if isinstance(ends, list) else [ends, tokenizer.eos_token_id])
            if end is not None
        ),
        one_line=not chats,
        reply_tokens=reply_tokens,
        context_tokens=network.config.max_position_embeddings,
        progress=progress,
    )


def _post(url: str, content: dict[str, Any], api_key: str | None) -> str:
    where = "evaluate.rival_endpoint"
    request = urllib.request.Request(
        url, json.dumps(content).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    if api_key is not None:
        # Not among those that follow a redirection to somebody else.
        request.add_unredirected_header("Authorization", f"Bearer {api_key}")
    try:
        with _DIRECT.open(request, timeout=TIMEOUT_S) as response:
            answer = json.load(response)
        reply = answer["choices"][0]["message"]["content"]
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(300).decode(errors="replace").replace("\n", " ")
        if api_key is not None:
            said = said.replace(api_key, "***")  # servers repeat what they refuse, and this goes into logs
        raise StageError(f"{where}: {url}: answers {error.code} ({said}): see that server's log") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise StageError(f"{where}: {url}: does not answer ({reason}): start that server") from None
    except (ValueError, KeyError, IndexError, TypeError):
        raise StageError(
            f"{where}: {url}: answers something else than a chat: name an OpenAI-compatible API"
        ) from None
    return str(reply or "").strip()
