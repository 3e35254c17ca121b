"""The evaluation room: what the trained model is worth on text it has not seen."""
