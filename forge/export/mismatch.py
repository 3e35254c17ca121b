"""The finding that ends a proof."""

from __future__ import annotations


class Mismatch(Exception):
    """The exported folder is not the trained model. The text says what differs and where, in one line."""
