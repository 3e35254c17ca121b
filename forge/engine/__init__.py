"""The engine room: the DeepSpeed training worker. It reads a plan and composes nothing."""
