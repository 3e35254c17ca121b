"""The proof that a Hugging Face folder is the trained model, run in a process that has seen nothing of the export.

    python -m forge.export.verify --train DIR --tokenizer DIR --hf DIR --report FILE

Exit status 0: proven, FILE holds the figures. 1: FILE holds `mismatch`, one line.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from tokenizers import Tokenizer

from forge.export.compare_configs import compare_configs
from forge.export.compare_models import all_logits, compare_logits, compare_weights, logits_deviation
from forge.export.compare_tokenizers import compare_tokenizer_files, compare_tokenizers
from forge.export.mismatch import Mismatch
from forge.export.probe_sequences import probe_sequences
from forge.export.proof import main_of
from forge.export.reference import checkpoint_dtype, checkpoint_tensors, reference_model
from forge.quiet import quiet_transformers

DEVIATION_BOUND = 0.1
"""Most a cast may move the logits: mean absolute difference over the standard deviation of the logits. Rounding to
bf16 keeps 8 bits and moved tiny models by 0.01, a mixture of experts by 0.02 (a close call may go to another expert);
this leaves room for depth, and a broken cast gives about 1."""


def verify(train: Path, tokenizer: Path, hf: Path) -> dict[str, Any]:
    """Compare the exported folder with what was trained and return the figures.

    Configuration, token ids, weights bit for bit against the trained ones (cast, if the export's dtype is another)
    and logits bit for bit against a model built from those. If the dtypes differ, the logits are also held against
    the model in its own dtype, within `DEVIATION_BOUND`.

    Raises:
        Mismatch: the first thing that differs.
    """
    quiet_transformers()
    trained_tokenizer = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    config_keys = compare_configs(train, hf, trained_tokenizer)
    exported_tokenizer = transformers.AutoTokenizer.from_pretrained(hf, local_files_only=True)
    strings = compare_tokenizers(trained_tokenizer, exported_tokenizer)
    compare_tokenizer_files(tokenizer / "tokenizer.json", hf / "tokenizer.json")

    exported = transformers.AutoModelForCausalLM.from_pretrained(
        hf, local_files_only=True, dtype="auto"
    ).eval()
    sequences = probe_sequences(
        trained_tokenizer, exported.config.vocab_size, exported.config.max_position_embeddings
    )
    tensors = checkpoint_tensors(train)
    trained_dtype, exported_dtype = checkpoint_dtype(tensors), exported.dtype
    cast = reference_model(train, tensors, exported_dtype)
    count = compare_weights(cast, exported)
    exported_logits = all_logits(exported, sequences)
    positions = compare_logits(all_logits(cast, sequences), exported_logits)
    del exported, cast
    greatest, deviation = 0.0, 0.0
    if trained_dtype != exported_dtype:
        trained_logits = all_logits(reference_model(train, tensors, trained_dtype), sequences)
        greatest, deviation = logits_deviation(trained_logits, exported_logits)
        # Written so that NaN is refused too.
        if not deviation <= DEVIATION_BOUND:
            raise Mismatch(f"logits: the cast moved them by {deviation:.3g}, more than {DEVIATION_BOUND}")
    return {
        "config_keys_equal": config_keys,
        "tokenizer_strings_equal": strings,
        "weight_tensors_equal": count,
        "logit_positions_equal": positions,
        "trained_dtype": str(trained_dtype).removeprefix("torch."),
        "exported_dtype": str(exported_dtype).removeprefix("torch."),
        "cast_logits_max_abs_difference": greatest,
        "cast_logits_mean_deviation": deviation,
        "cast_logits_mean_deviation_bound": DEVIATION_BOUND,
        "versions": {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
        },
    }


def main() -> int:
    """Run the proof that the command line asks for and return the exit status."""
    paths = {
        "train": "folder of the trained weights",
        "tokenizer": "folder of the trained tokenizer",
        "hf": "exported folder",
    }
    return main_of(verify, __doc__, paths)


if __name__ == "__main__":
    sys.exit(main())
