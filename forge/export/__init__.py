"""The export room: weights that load elsewhere, and the proof that they agree."""
