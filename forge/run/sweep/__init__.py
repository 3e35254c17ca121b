"""Sweeps: many runs of one command line, each in a process of its own, and which of them came out best."""
