"""What may have been meant: the second half of a good error line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import PurePosixPath

from forge.spec.schema import SpecSchema
from forge.spec.search_path import RECIPE_GROUP, SearchPath, is_option_name
from forge.spec.text import printable, shortened
from forge.spec.types import KeyPath, dotted

MOST_NAMED = 20
"""Keys of a group that are named in a message."""

_NOT_DONE = {
    "tensor parallelism: weights are sharded by engine.zero_stage=3, sequences by engine.sequence_parallel_degree": (
        "tensor_parallel",
        "tensor_model_parallel",
        "tp",
        "autotp",
    ),
    "pipeline parallelism: layers are sharded as all weights are, by engine.zero_stage=3": (
        "pipeline_parallel",
        "pipeline_model_parallel",
        "pp",
    ),
}
"""What forge does not do, and what other tools call it, without an ending such as `_size`."""


def nearest(word: str, candidates: Iterable[str], likeness: float = 0.6) -> str | None:
    """Return the candidate most like `word`, or None where the likeness (0 to 1) of all is less."""
    lowered = {candidate.lower(): candidate for candidate in candidates}
    near = difflib.get_close_matches(word.lower()[:100], list(lowered), n=1, cutoff=likeness)
    return lowered[near[0]] if near else None


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """Return ` did you mean X?`, or '' where nothing is near."""
    near = nearest(word, candidates)
    return f" did you mean {near}?" if near else ""


def nearest_key(key: KeyPath, schema: SpecSchema) -> str | None:
    """Return the declared key that was most likely meant, dotted; a group or `recipe` for one word."""
    also_called = schema.also_called(key)
    name = dotted(key)
    if name.lower() in also_called:
        return also_called[name.lower()]
    if len(key) == 1:
        near = nearest(name, [*schema.groups, RECIPE_GROUP, *(path[-1] for path in schema.leaves)], 0.7)
        return also_called.get(near, near) if near else None
    inside = {path[-1]: dotted(path) for path in schema.leaves if path[:-1] == key[:-1]}
    near = nearest(key[-1], inside, 0.7)
    if near:
        return inside[near]
    anywhere = {path[-1]: dotted(path) for path in schema.leaves}
    near = nearest(key[-1], anywhere, 0.8)
    # Long names of groups alone would make two keys alike.
    last = nearest(key[-1], {path[-1] for path in schema.leaves}, 0.6)
    whole = nearest(name, schema.keys(), 0.8) if last else None
    return whole or (anywhere[near] if near else None)


def _not_done(name: str) -> str | None:
    stem = name.lower().replace("-", "_")
    for ending in ("_size", "_degree", "_world_size"):
        stem = stem.removesuffix(ending)
    return next((line for line, names in _NOT_DONE.items() if stem in names), None)


def no_such_key(key: KeyPath, schema: SpecSchema) -> str:
    """Return the message for a key that the schema does not declare."""
    if line := _not_done(key[-1]):
        return f"no such key. forge has no {line}"
    above = schema.node(key[:-1]) or {}
    if len(key) > 1 and isinstance(above.get("additionalProperties"), dict):
        return "is not a key: a key is letters, digits, - and _, from a letter"
    if len(key) > 2 and schema.has_key(key[:-1]):
        return f"no such key: {dotted(key[:-1])} is a value, not a group"
    near = nearest_key(key, schema)
    if near:
        return f"no such key. did you mean {near}?"
    if len(key) > 1 and key[0] in schema.groups:
        group = key[:-1] if "properties" in above else key[:1]
        keys = list((schema.node(group) or {})["properties"])
        if len(keys) > MOST_NAMED:
            return f"no such key. {dotted(group)} has {len(keys)}: `forge plan --spec` shows them all"
        return f"no such key. the keys of {dotted(group)} are {', '.join(keys)}"
    return f"no such key: a key is GROUP.KEY, and the groups are {', '.join(schema.groups)}"


def no_such_option(group: str, option: str, search_path: SearchPath) -> str:
    """Return the message for an option (or recipe) that is not there."""
    noun = group.partition("/")[0]
    options = search_path.options(group)
    shown = shortened(printable(option))
    folder, _, name = option.rpartition("/")
    if folder and noun != RECIPE_GROUP and search_path.find(f"{group}/{option}") is not None:
        return f"{noun} '{shown}' is of pack {shortened(printable(folder))}, and for its own recipes only"
    if search_path.find(f"{group}/{option}") is not None and not is_option_name(name):
        if name.startswith("_"):
            return f"{noun} '{shown}' cannot be chosen: a name that begins with _ is a part of others"
        return f"{noun} '{shown}' cannot be chosen: its name reads as a number or a constant: rename the file"
    if noun == RECIPE_GROUP and option.endswith((".yaml", ".yml")):
        stem = PurePosixPath(option).stem
        if stem in options:
            return f"a recipe is named without its folder and .yaml: {stem}"
    misnamed = search_path.misnamed(group, option)
    if misnamed is not None:
        return f"there is no {noun} '{shown}': rename {misnamed} to {shown}.yaml"
    if folder:
        options = tuple(f"{folder}/{other}" for other in search_path.options(f"{group}/{folder}")) + options
    if noun == RECIPE_GROUP and group != noun and search_path.find(f"{noun}/{option}") is not None:
        return f"there is no {noun} '{shown}' in this pack: to extend that of forge write `- /{noun}/{shown}`"
    hint = did_you_mean(option, options) or did_you_mean(name, options)
    if not hint:
        hint = f" there are: {', '.join(options)}" if options else " there are none"
    return f"there is no {noun} '{shown}'.{hint}"
