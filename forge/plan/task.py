"""What a task asks of the data that it learns from, and of the model that it starts from."""

from __future__ import annotations

from typing import Any

from forge.errors import SpecError

_TAKES_LINES_OUT = ("repair", "boilerplate", "paragraphs")
"""Steps of `data.curate` that change a text by what is usual in documents."""


def check_task(spec: dict[str, Any]) -> None:
    """Refuse data settings that would break conversations, where they are what is learnt, and preferences of a model
    that has learnt nothing yet.

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
    if task == "dpo":
        if spec["model"]["init_from"] is None:
            lines.append(
                "model.init_from: train.task=dpo says which answers of a trained model are preferred: name its folder"
            )
        if spec["train"]["z_loss"]:
            lines.append(
                f"train.z_loss: {spec['train']['z_loss']:g} is of the loss on tokens, which train.task=dpo has not: "
                "use train.z_loss=0"
            )
        if spec["train"]["phases"]:
            lines.append("train.phases: preferences are learnt in one mixture: use train.phases=null")
        if spec["evaluate"]["contamination"] == "drop":
            lines.append(
                "evaluate.contamination: held-out preferences are measured whole: use evaluate.contamination=report"
            )
        if spec["engine"]["sequence_parallel_degree"] not in ("auto", 1):
            lines.append("engine.sequence_parallel_degree: answers are compared on whole sequences: use 1")
    if lines:
        raise SpecError(*lines)
