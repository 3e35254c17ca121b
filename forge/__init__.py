"""Forge: a declarative compiler and runner for training language models on your own hardware."""

__version__ = "0.1.0"
