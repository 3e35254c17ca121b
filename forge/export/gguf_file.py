"""One GGUF file: what llama.cpp, Ollama and others serve. Written tensor by tensor, a few rows at a time."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any, BinaryIO

import gguf
import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.gguf_writer import WriterState

from forge.export.block_quantization import quantize_rows
from forge.export.gguf_tensors import ARCHITECTURES, GGUFTensor, gguf_tensors
from forge.export.gguf_types import GGUF_TYPES, stored_type
from forge.export.gguf_vocabulary import Vocabulary, read_vocabulary
from forge.export.stored_tensors import stored_tensors
from forge.plan.types import ModelPlan


def write_gguf(
    path: Path, kind: str, name: str, model: ModelPlan, pre_tokenizer: str, train: Path, tokenizer: Path
) -> str:
    """Write the new file `path` and return the SHA-256 (hex) of what was written.

    Args:
        path: does not exist yet.
        kind: one of `GGUF_TYPES`, of the matrices.
        name: of the model, shown by servers.
        model: what was trained.
        pre_tokenizer: llama.cpp's name for the way the tokenizer cuts text.
        train: folder with model*.safetensors.
        tokenizer: folder with tokenizer.json and tokenizer_config.json.
    """
    writer: Any = GGUFWriter(None, gguf.MODEL_ARCH_NAMES[ARCHITECTURES[model.family]])
    writer.add_name(name)
    writer.add_file_type(GGUF_TYPES[kind].number)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_shape(writer, model)
    _add_vocabulary(writer, read_vocabulary(tokenizer, model.vocab_size), pre_tokenizer)
    tensors = gguf_tensors(model, stored_tensors(train))
    types = [stored_type(tensor.name, tensor.shape, kind, model) for tensor in tensors]
    for tensor, stored_as in zip(tensors, types, strict=True):
        writer.add_tensor_info(
            tensor.name, tensor.shape, np.float32, size_bytes(tensor, stored_as), raw_dtype=stored_as
        )
    with path.open("xb") as stream:
        hashed = _Hashed(stream)
        # The writer opens files itself otherwise, and its own way to write tensors holds each of them whole.
        writer.fout, writer.state = [hashed], WriterState.EMPTY
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        writer.write_padding(hashed, hashed.bytes)
        for tensor, stored_as in zip(tensors, types, strict=True):
            for rows in tensor.chunks():
                hashed.write(quantize_rows(rows, stored_as).tobytes())
            writer.write_padding(hashed, size_bytes(tensor, stored_as))
    return hashed.sha256.hexdigest()


def size_bytes(tensor: GGUFTensor, stored_as: GGMLQuantizationType) -> int:
    """Return the bytes a tensor takes in a type."""
    block_values, block_bytes = gguf.GGML_QUANT_SIZES[stored_as]
    return math.prod(tensor.shape) // block_values * block_bytes


def _add_shape(writer: Any, model: ModelPlan) -> None:
    writer.add_block_count(model.layers)
    writer.add_context_length(model.max_sequence_length)
    writer.add_embedding_length(model.hidden_size)
    writer.add_vocab_size(model.vocab_size)
    writer.add_head_count(model.attention_heads)
    writer.add_head_count_kv(model.kv_heads)
    writer.add_key_length(model.head_dim)
    writer.add_value_length(model.head_dim)
    writer.add_rope_dimension_count(model.head_dim)
    writer.add_rope_freq_base(model.rope_theta)
    writer.add_layer_norm_rms_eps(model.rms_norm_epsilon)
    writer.add_feed_forward_length(model.intermediate_size)
    if model.experts:
        writer.add_expert_count(model.experts)
        writer.add_expert_used_count(model.experts_per_token)
        writer.add_expert_feed_forward_length(model.intermediate_size)


def _add_vocabulary(writer: Any, vocabulary: Vocabulary, pre_tokenizer: str) -> None:
    writer.add_tokenizer_model("gpt2")  # byte-level BPE
    writer.add_tokenizer_pre(pre_tokenizer)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    for role, number in vocabulary.special_ids.items():
        getattr(writer, f"add_{role}_token_id")(number)
    # Both said: readers have different defaults.
    writer.add_add_bos_token(vocabulary.adds_bos)
    writer.add_add_eos_token(False)
    if vocabulary.chat_template is not None:
        writer.add_chat_template(vocabulary.chat_template)


class _Hashed:
    """A file that knows the hash and number of the bytes written to it, whatever the disk makes of them."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.sha256 = hashlib.sha256()
        self.bytes = 0

    def write(self, content: bytes | bytearray) -> None:
        self._stream.write(content)
        self.sha256.update(content)
        self.bytes += len(content)

    def flush(self) -> None:
        self._stream.flush()
