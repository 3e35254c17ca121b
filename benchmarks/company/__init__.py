"""A fictional company's document folder whose every fact is known, made from a seed."""
