"""Names of hardware that no file stands behind: `8xh100`, `64xh100`, `2x4xa100`.

`COUNTxCHIP` is one machine of up to eight GPUs, or that many machines of eight; `NODESxGPUSxCHIP` says both. CHIP is a
part of group `hardware`, the file `_CHIP.yaml`, which describes a machine of eight: its memory and disk are shared out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from forge.spec.safe_yaml import Document

GPUS_A_MACHINE = 8
MOST_MACHINES = 16_384
"""As the schema of hardware.nodes has it."""
SHARED_OUT = ("host_memory_gib", "disk_gib")

_NAME = re.compile(r"(?:(?P<nodes>[1-9]\d{0,30})x)?(?P<gpus>[1-9]\d{0,30})x(?P<chip>[A-Za-z][A-Za-z0-9_]*)\Z")


def machine_document(name: str, chip_values: Callable[[str], dict[str, Any] | None]) -> Document | None:
    """Return what a file of this name would say, or None where the rule does not make it.

    The document carries an error where the count does not divide into machines, or they are too many.

    Args:
        name: the option, as typed.
        chip_values: returns what the part of a chip says, or None where there is no such chip.
    """
    match = _NAME.match(name)
    values = chip_values(match["chip"]) if match is not None else None
    if match is None or values is None:
        return None
    gpus, chip = int(match["gpus"]), match["chip"]
    errors = []
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
    if nodes > MOST_MACHINES:
        near = f"{MOST_MACHINES}x{gpus}x{chip}" if match["nodes"] else f"{MOST_MACHINES * gpus}x{chip}"
        errors = [(0, f"{nodes} machines are more than a plan may have, {MOST_MACHINES}: use at most {near}")]
        nodes = MOST_MACHINES
    named: dict[str, Any] = {"defaults": [f"_{chip}"], "nodes": nodes, "gpus_per_node": gpus}
    for key in SHARED_OUT:
        whole = values.get(key)
        if isinstance(whole, (int, float)) and not isinstance(whole, bool):
            named[key] = whole * gpus / GPUS_A_MACHINE
    return Document(named, {}, errors)


def machine_names(chips: Iterable[str]) -> list[str]:
    """Return the names that lists of options show for the rule: one GPU and eight, of every chip."""
    return [f"{count}x{chip}" for chip in chips for count in (1, GPUS_A_MACHINE)]
