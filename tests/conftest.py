"""Settings of all tests."""

from __future__ import annotations

from hypothesis import settings

# Machines are noisy: how long an example takes says nothing about it.
settings.register_profile("forge", deadline=None)
settings.load_profile("forge")
