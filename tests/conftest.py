"""Settings of all tests."""

from __future__ import annotations

import signal

from hypothesis import settings

# Machines are noisy: how long an example takes says nothing about it.
settings.register_profile("forge", deadline=None)
settings.load_profile("forge")

# A shell starts what it puts into the background deaf to Ctrl-C, and so would be every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
