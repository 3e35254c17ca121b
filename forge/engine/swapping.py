"""States and parameters that lie on a disk (ZeRO-Infinity, Rajbhandari 2021): where, and whether they can lie there.

DeepSpeed reads and writes them with an op of its own, which it builds when it is first used and which needs libaio.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from forge.errors import FitError
from forge.plan.lowering import NVME_FOLDER
from forge.plan.types import LayoutPlan

OP = "async_io"


def swaps(layout: LayoutPlan) -> bool:
    """Return whether a training keeps anything on a disk that it works on."""
    return "nvme" in (layout.offload_optimizer, layout.offload_parameters)


def check_swapping(layout: LayoutPlan) -> None:
    """Refuse a layout whose swapping can't be built on this machine, before anything is done for it.

    Raises:
        FitError: libaio is missing, or a compiler.
    """
    if swaps(layout) and not _builds():
        raise FitError(_unbuildable(layout, "without libaio", "install libaio-dev"))


def swapping_problem(layout: LayoutPlan) -> str | None:
    """Build what a layout's swapping needs, unless it is there; return why it can't be."""
    if not swaps(layout):
        return None
    if not _builds():
        return "train: " + _unbuildable(layout, "without libaio", "install libaio-dev")
    try:
        op_builder().load(verbose=False)
    except Exception as error:  # a compiler may fail in any way
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return "train: " + _unbuildable(layout, f"({reason})", "see `forge doctor`")
    return None


def _builds() -> bool:
    builder = op_builder()
    return builder is not None and bool(builder.is_compatible(verbose=False))


def _unbuildable(layout: LayoutPlan, why: str, remedy: str) -> str:
    key = "offload_optimizer" if layout.offload_optimizer == "nvme" else "offload_parameters"
    return (
        f"engine.{key}: nvme needs DeepSpeed's {OP}, which can't be built here {why}: {remedy}, "
        f"or use engine.{key}=cpu"
    )


def op_builder() -> Any:
    """Return what DeepSpeed builds the op with; None where it has none for this kind of device."""
    from deepspeed.accelerator import get_accelerator

    return get_accelerator().create_op_builder("AsyncIOBuilder")


def swap_folder(run_dir: Path, rank: int) -> Path:
    """Return where a rank keeps its part. Nothing in it outlives the process: a checkpoint holds its values."""
    return run_dir / NVME_FOLDER / f"rank{rank:05d}"


def clear_swap_files(run_dir: Path, rank: int | None = None) -> None:
    """Remove what a rank left on the disk; None: what all of any earlier process left."""
    shutil.rmtree(run_dir / NVME_FOLDER if rank is None else swap_folder(run_dir, rank), ignore_errors=True)


def set_swap_folder(config: dict[str, Any], folder: Path) -> None:
    """Say in a DeepSpeed config where this rank's part lies."""
    for key in ("offload_optimizer", "offload_param"):
        if "nvme_path" in (place := config["zero_optimization"].get(key, {})):
            place["nvme_path"] = str(folder)
