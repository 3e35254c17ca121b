"""The run room: carries out a plan stage by stage, each output an artifact written once."""
