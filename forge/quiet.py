"""Keeps what transformers says while it loads a model off the user's terminal."""

from __future__ import annotations

import logging

TORCHAO_LOGGERS = ("torchao", "torch.utils._pytree")
"""Where torchao, which transformers imports with any model where it is installed, says which of its kernels are for
another machine, and torch that torchao registers something in an old way: neither is the user's to mend."""


def quiet_transformers() -> None:
    """Let transformers load and write models without progress bars and without notes on libraries it only looks at."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    for name in TORCHAO_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
