"""What a task asks of the data that it learns from."""

from __future__ import annotations

from typing import Any

from forge.errors import SpecError

_TAKES_LINES_OUT = ("repair", "boilerplate", "paragraphs")
"""Steps of `data.curate` that change a text by what is usual in documents."""


def check_task(spec: dict[str, Any]) -> None:
    """Refuse data settings that would break conversations, where they are what is learnt.

    Raises:
        SpecError: with a line for each.
    """
    task, data = spec["train"]["task"], spec["data"]
    if task == "pretrain":
        return
    lines = []
    if data["packing"] != "best_fit":
        lines.append(
            f"data.packing: {data['packing']} cuts conversations, which train.task={task} learns whole: use data=chat"
        )
    if changing := [step for step in data["curate"] if step in _TAKES_LINES_OUT]:
        lines.append(
            f"data.curate: {', '.join(changing)} would take lines out of conversations, which train.task={task} "
            "learns as they are: use data=chat"
        )
    if lines:
        raise SpecError(*lines)
