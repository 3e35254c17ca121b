"""What a machine has that a run needs, and what is missing, each with its remedy."""
