"""The plan room: model arithmetic, memory, time, search, lowering to a DeepSpeed config, the `Plan` type."""
