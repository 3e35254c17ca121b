"""What each stage says that it found, made up: one of everything that a page, a headline or a gate reads."""

from __future__ import annotations

from typing import Any

HOSTILE = "<script>alert('x')</script>"
"""In the place of what documents and models say."""

_STEPS = [
    {"step": "repair", "documents_in": 3, "set_aside": 0, "changed": 1, "reasons": {}, "samples": []},
    {
        "step": "near_duplicates",
        "documents_in": 3,
        "set_aside": 1,
        "changed": 0,
        "reasons": {"near duplicate": 1},
        "samples": [],
    },
]
_RATES = {
    "questions": 20,
    "exact_fraction": 0.6,
    "exact_interval_95": [0.4, 0.8],
    "abstained_fraction": 0.3,
    "abstained_interval_95": [0.1, 0.5],
    "wrong_fraction": 0.1,
    "wrong_interval_95": [0.0, 0.3],
}
SUMMARIES: dict[str, dict[str, Any]] = {
    "lake": {
        "files": 4,
        "files_with_documents": 3,
        "files_set_aside": 1,
        "documents": 3,
        "bytes": 100,
        "set_aside": {"binary": 1},
    },
    "corpus": {
        "documents_in": 3,
        "documents": 2,
        "bytes": 16,
        "words": 10,
        "repaired": 1,
        "set_aside": {"near duplicate": 1},
        "steps": _STEPS,
        "families": 2,
        "largest_family_documents": 1,
        "train_documents": 1,
        "train_bytes": 8,
        "held_out_documents": 1,
        "held_out_bytes": 8,
    },
    "tokenizer": {"vocab_size": 256},
    "tokens": {
        "train_tokens": 4_000,
        "held_out_tokens": 400,
        "train_bytes_per_token": 4.0,
        "sha256": {"train.bin": "b" * 64},
        "sources": {HOSTILE: {"bytes_per_token": 4.0, "train_tokens": 4_000}},
    },
    "train": {
        "steps": 6,
        "tokens": 768,
        "first_loss": 7.94,
        "final_loss": 2.345,
        "wall_clock_s": 90.0,
        "start_up_s": 2.0,
        "attempts": 1,
        "restarts": 0,
        "steps_skipped": [],
        "step_time_s": 0.25,
        "tokens_per_second": 512.0,
        "peak_memory_bytes": 4 * 1024**2,
        "world_size": 1,
        "versions": {"torch": "2.13.0"},
    },
    "evaluate": {
        "held_out_bits_per_byte": 1.75,
        "held_out_documents": 1,
        "held_out_bytes": 2048,
        "held_out_loss_nats_per_token": 2.0,
        "held_out_perplexity": 7.389,
        "held_out_by_source": {HOSTILE: {"documents": 1, "bytes": 8, "bits_per_byte": 1.75}},
        "held_out_near_copies": {"documents_with_near_copy": 0, "highest_jaccard": 0.25},
        "baselines": {
            "xz_preset": "9e",
            "xz_with_training_text_bits_per_byte": 0.5,
            "xz_bits_per_byte": 1.5,
            "unigram_bits_per_byte": 2.5,
        },
        "samples": [{"prompt": "The", "text": f" end {HOSTILE}"}],
        "recall": {
            "model": {"known": _RATES, "document": _RATES},
            "retrieval": {"known": _RATES | {"exact_fraction": 0.8}, "document": _RATES},
            "contrast": None,
            "against": {
                "retrieval": {"known": {"only_other_right": 5, "only_model_right": 1, "p_value": 0.03}},
            },
            "retrieval_not_measured": None,
        },
        "contamination": {
            "run_words": 13,
            "action": "report",
            "sets": {"held_out": {"texts": 1, "texts_contaminated": 1, "contaminated_fraction": 1.0}},
        },
        "regurgitation": {
            "prefix_tokens": 32,
            "continued_tokens": 50,
            "passages": 10,
            "verbatim": 1,
            "verbatim_fraction": 0.1,
            "verbatim_interval_95": [0.0, 0.4],
            "by_times_read": [],
            "by_near_copies": [],
        },
        "tasks": {},
    },
    "export": {
        "bytes": 7_000,
        "steps": 6,
        "dtype": "fp32",
        "sha256": {"hf": {"model.safetensors": "c" * 64}},
        "proof": {
            "hf": {
                "weight_tensors_equal": 21,
                "logit_positions_equal": 1_097,
                "tokenizer_strings_equal": 4_428,
                "trained_dtype": "float32",
                "exported_dtype": "float32",
                "cast_logits_mean_deviation": 0.0,
                "cast_logits_mean_deviation_bound": 0.1,
            }
        },
        "versions": {"transformers": "5.24.0"},
    },
}
