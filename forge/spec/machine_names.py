"""Names of hardware that no file stands behind: `8xh100`, `64xh100`, `2x4xa100`.

`COUNTxCHIP` is one machine of up to eight GPUs, or that many machines of eight; `NODESxGPUSxCHIP` says both. CHIP is a
part of group `hardware`, the file `_CHIP.yaml`, which describes a machine of eight: its memory and disk are shared out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from forge.spec.problems import did_you_mean
from forge.spec.safe_yaml import Document

GPUS_A_MACHINE = 8
SHARED_OUT = ("host_memory_gib", "disk_gib")

_NAME = re.compile(r"(?:(?P<nodes>[1-9]\d{0,5})x)?(?P<gpus>[1-9]\d{0,5})x(?P<chip>[A-Za-z][A-Za-z0-9_]*)\Z")


def machine_document(name: str, chips: Mapping[str, dict[str, Any]]) -> Document | None:
    """Return what a file of this name would say, or None where the name does not follow the rule.

    The document carries an error where the chip is unknown or the count does not divide.

    Args:
        name: the option, as typed.
        chips: the values of every part, by its name without the underscore.
    """
    match = _NAME.match(name)
    if match is None or not chips:
        return None
    gpus, chip = int(match["gpus"]), match["chip"]
    errors = []
    if chip not in chips:
        prefix = name.removesuffix(chip)
        hint = (
            did_you_mean(name, [prefix + known for known in chips])
            or f" there are: {', '.join(sorted(chips))}"
        )
        errors.append((0, f"there is no GPU '{chip}'.{hint}"))
        chip = min(chips)
    if match["nodes"]:
        nodes = int(match["nodes"])
    elif gpus <= GPUS_A_MACHINE:
        nodes = 1
    else:
        nodes, rest = divmod(gpus, GPUS_A_MACHINE)
        gpus = GPUS_A_MACHINE
        if rest:
            near = f"{nodes * gpus}x{chip} or {(nodes + 1) * gpus}x{chip}"
            errors.append(
                (0, f"is not a whole number of machines of {gpus}: use {near}, or say NODESxGPUSx{chip}")
            )
    values: dict[str, Any] = {"defaults": [f"_{chip}"], "nodes": nodes, "gpus_per_node": gpus}
    for key in SHARED_OUT:
        whole = chips[chip].get(key)
        if isinstance(whole, (int, float)) and not isinstance(whole, bool):
            values[key] = whole * gpus / GPUS_A_MACHINE
    return Document(values, {}, errors)


def machine_names(chips: Mapping[str, dict[str, Any]]) -> list[str]:
    """Return the names that lists of options show for the rule: one GPU and eight, of every chip."""
    return [f"{count}x{chip}" for chip in chips for count in (1, GPUS_A_MACHINE)]
