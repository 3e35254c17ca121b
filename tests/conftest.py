"""Settings of all tests."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

# Machines are noisy: how long an example takes says nothing about it.
settings.register_profile("forge", deadline=None)
settings.load_profile("forge")

# Tests run beside each other, and their models are tiny: threads that wait for each other took more than half of the
# processor time. Read when torch is first imported, here and in what tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell starts what it puts into the background deaf to Ctrl-C, and so would be every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
