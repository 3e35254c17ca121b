"""What a process for work on text starts with: imported once, in the process that others are forked from."""

from __future__ import annotations

import importlib
import signal

from forge.data.without_pandas import shut_out_pandas

# Ctrl-C is the first process's to answer, which may be asked before all is imported here.
signal.signal(signal.SIGINT, signal.SIG_IGN)
shut_out_pandas()
for _module in ("forge.data.task_work", "forge.data.shared_join", "forge.data.tokens"):
    importlib.import_module(_module)
importlib.import_module("ftfy")
# The tables of all characters.
list(importlib.import_module("forge.data.word_codes").word_codes(["\u00e4"]))
