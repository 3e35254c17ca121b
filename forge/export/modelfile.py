"""The Modelfile: what `ollama create` makes a model from."""

from __future__ import annotations

from pathlib import Path

from forge.errors import StageError
from forge.export.chat_template import find_frames, load_chat_template
from forge.export.gguf_types import GGUF_TYPES, gguf_name
from forge.export.gguf_vocabulary import read_vocabulary
from forge.plan.types import ModelPlan

NO_CHAT = "{{ .Prompt }}"
"""For a model that only continues text; it is also Ollama's default."""

MODELFILE = '''# ollama create NAME -f Modelfile
FROM ./{file}
TEMPLATE """{template}"""
{stops}
PARAMETER num_ctx {context_tokens}
# By default Ollama draws at random and holds back repetitions.
PARAMETER temperature 0
PARAMETER repeat_penalty 1.0
LICENSE """{license}"""
'''


def go_template(tokenizer: Path) -> str:
    """Return the chat template of a tokenizer in Go's language; that of a plain continuation where it has none.

    Raises:
        StageError: it cannot be said there.
    """
    template = load_chat_template(tokenizer)
    return NO_CHAT if template is None else find_frames(template).in_go()


def modelfile(model: ModelPlan, kinds: list[str], tokenizer: Path, template: str, license_text: str) -> str:
    """Return the text of the Modelfile beside the GGUF files of `kinds`; the smallest of them is taken.

    Raises:
        StageError: a text holds what ends a text there.
    """
    vocabulary = read_vocabulary(tokenizer, model.vocab_size)
    ends = [
        vocabulary.tokens[vocabulary.special_ids[role]]
        for role in ("eos", "eot")
        if role in vocabulary.special_ids
    ]
    if any('"' in text or "\n" in text for text in ends) or '"""' in license_text:
        raise StageError(
            "export.formats: ollama: a token that ends the text has a quote in it: leave ollama out"
        )
    kind = next(kind for kind in reversed(GGUF_TYPES) if kind in kinds)
    return MODELFILE.format(
        file=gguf_name(kind),
        template=template,
        stops="\n".join(f'PARAMETER stop "{text}"' for text in dict.fromkeys(ends)),
        context_tokens=model.max_sequence_length,
        license=license_text,
    )
