"""What the spec room hands on: the composed values and who set each of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

KeyPath = tuple[str, ...]
"""('train', 'learning_rate')."""

Trust = Literal["conf", "recipe", "command line"]
"""Who speaks: forge's or the user's own conf, a recipe (which is data from anyone), or the command line."""

Origins = dict[KeyPath, tuple["Origin", ...]]
"""For each leaf of a spec, every place that set it, in force first."""


@dataclass(frozen=True, slots=True)
class PackUse:
    """A pack that a spec takes recipes or options from."""

    name: str
    version: str
    sha256: str
    """Of the pack's file; of a Python package, over its recipes."""
    signer: str
    """Who signed it, by the user's allowed_signers; '' where that says nobody, and for a Python package."""
    fingerprint: str
    """Of the key that signed it; '' where it is not signed."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A place that set a value."""

    where: str
    """`recipes/legal_7b.yaml:14`, or `command line`."""
    trust: Trust
    value: Any
    order: int = 0
    """When the place spoke; a later one overrides an earlier. Below 0 in conf, from 0 in recipes, base first."""

    def __str__(self) -> str:
        return self.where


@dataclass(frozen=True, slots=True)
class Spec:
    """What the user wants. `values` is the composed tree, every reference resolved."""

    values: dict[str, Any]
    origins: Origins
    recipes: tuple[str, ...]
    """Recipes taken part, base first."""
    choices: dict[str, str]
    """Group to chosen option."""
    notes: tuple[str, ...] = ()
    """Things the user should know that are not errors."""
    choice_origins: dict[str, tuple[Origin, ...]] = field(default_factory=dict)
    """For each group, every place that chose its option, in force first; the value is the option's name."""
    packs: tuple[PackUse, ...] = ()
    """Packs that files of this spec are from, by name."""

    def where(self, key: KeyPath) -> str:
        """Return the place in force for `key`, or for the nearest key above or below it."""
        return origin_of(self.origins, key)


def origin_of(origins: Origins, key: KeyPath) -> str:
    """Return `where` of the origin in force for `key`; of a key below it, else above it, where it has none."""
    if key in origins:
        return origins[key][0].where
    below = [chain[0] for path, chain in origins.items() if path[: len(key)] == key]
    if below:
        return below[0].where
    if len(key) > 1:
        return origin_of(origins, key[:-1])
    return "spec"


def dotted(key: KeyPath) -> str:
    """Return `train.learning_rate` for ('train', 'learning_rate')."""
    return ".".join(key)
