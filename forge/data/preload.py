"""What a process for work on text starts with: imported once, in the process that others are forked from."""

from __future__ import annotations

import importlib

from forge.data import word_codes
from forge.data.without_pandas import shut_out_pandas

shut_out_pandas()
for _module in ("forge.data.task_work", "forge.data.shared_join", "forge.data.tokens"):
    importlib.import_module(_module)
# The tables of all characters.
list(word_codes.word_codes(["\u00e4"]))
