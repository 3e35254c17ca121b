"""README.md of an exported model: what it is, what it was trained on in numbers, how to load it."""

from __future__ import annotations

from typing import Any

from forge.plan.types import Plan

CARD = """---
library_name: transformers
pipeline_tag: text-generation
---

# {name}

A {family} language model of {parameters:,} parameters{active}, {start} by forge {forge_version}
(plan `{plan_id}`).

```python
from transformers import AutoModelForCausalLM, AutoTokenizer
model, tokenizer = AutoModelForCausalLM.from_pretrained("."), AutoTokenizer.from_pretrained(".")
```

{use} What it states is not checked.

## Training

| | |
|---|---|
| sources | {sources:,} ({files:,} files, {source_bytes:,} bytes) |
| tokens seen | {tokens:,} in {steps:,} steps |
| sequence length | {sequence_length:,} tokens |
| layers × hidden size | {layers} × {hidden_size} |
| vocabulary | {vocab_size:,} tokens |
| weights here | {dtype} |

{held_out}
## Licence

{licence}
"""

HELD_OUT = """## Held-out documents

They were kept out of training, and so was whatever nearly repeats them. Lower is better.

| | bits per byte |
|---|---|
| **this model** | **{bits:.4f}** |
| token unigram | {unigram:.4f} |
| xz alone | {xz:.4f} |
| xz that has read the training text | {xz_seen} |

Measured on {held_out_tokens:,} tokens ({held_out_bytes:,} bytes, {held_out_documents:,} documents):
{loss:.4f} nats per token, perplexity {perplexity:.2f}.
"""

LICENSE = "Not stated yet. The owner of the training documents states it here."


CONTINUES = "It continues text. It was not taught to follow instructions or to chat."
ANSWERS = (
    "It answers in conversations, put to it by its chat template (`tokenizer.apply_chat_template`). Only answers were "
    "learnt, and only those are measured below."
)

PREFERENCES = (
    "It answers in conversations, put to it by its chat template (`tokenizer.apply_chat_template`). It learnt which of "
    "two answers is preferred; only preferred answers are measured below."
)
USES = {"pretrain": CONTINUES, "sft": ANSWERS, "dpo": PREFERENCES}


def model_card(plan: Plan, dtype: str, evaluation: dict[str, Any] | None, steps: int) -> str:
    """Return the card's Markdown. It holds counts and measurements, never a path, a prompt or a document's text.

    Without `evaluation` it says nothing of held-out documents. `steps` are those the weights were trained for.
    """
    model, schedule = plan.model, plan.schedule
    return CARD.format(
        name=plan.name,
        family=model.family,
        parameters=model.parameters,
        active=f" ({model.active_parameters:,} a token)" if model.experts else "",
        forge_version=plan.forge_version,
        plan_id=plan.id,
        sources=len(plan.sources),
        files=sum(source.files for source in plan.sources),
        source_bytes=sum(source.bytes for source in plan.sources),
        tokens=steps * schedule.global_batch_tokens,
        steps=steps,
        sequence_length=schedule.sequence_length,
        layers=model.layers,
        hidden_size=model.hidden_size,
        vocab_size=model.vocab_size,
        dtype=dtype,
        use=USES[plan.schedule.task],
        start="trained from scratch" if not plan.initial_weights else "trained further from other weights",
        held_out="" if evaluation is None else _held_out(evaluation),
        licence=LICENSE,
    )


def _held_out(evaluation: dict[str, Any]) -> str:
    rivals = evaluation["baselines"]
    xz_seen = rivals["xz_with_training_text_bits_per_byte"]
    return HELD_OUT.format(
        bits=evaluation["held_out_bits_per_byte"],
        unigram=rivals["unigram_bits_per_byte"],
        xz=rivals["xz_bits_per_byte"],
        xz_seen="not measured" if xz_seen is None else f"{xz_seen:.4f}",
        held_out_tokens=evaluation["held_out_tokens"],
        held_out_bytes=evaluation["held_out_bytes"],
        held_out_documents=evaluation["held_out_documents"],
        loss=evaluation["held_out_loss_nats_per_token"],
        perplexity=evaluation["held_out_perplexity"],
    )
