"""The recipes room: where recipes come from."""
