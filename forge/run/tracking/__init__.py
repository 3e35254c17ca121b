"""A run's curves and settings in other people's trackers: MLflow, Weights & Biases, Prometheus."""
