"""States and parameters on a disk: the same training, which resumes, and loads without the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from forge.engine import checkpoint_saving
from forge.engine.checkpoint_folder import checkpoint_name
from forge.engine.distributed import Place
from forge.engine.swapping import check_swapping, clear_swap_files, op_builder, swap_folder, swapping_problem
from forge.engine.worker import build_engine
from forge.errors import FitError, StageError
from forge.plan.lowering import PARAMETER_BUFFERS, parameter_buffer_elements
from forge.plan.types import Plan
from tests.engine.ranks import train_in_ranks
from tests.engine.runs import events_of, losses, make_run, state_of, train_here, weights_sha256
from tests.factories import tiny_plan

# The order of additions is all that differs, nats a token.
FP32_BOUND = 5e-6

CHANGE = 2
# A rank's share of the matrices is more than the MiB from which DeepSpeed writes to a disk, and of the largest too.
WIDE = {"hidden_size": 256, "head_dim": 64, "intermediate_size": 2304}


def plan_of(states: str, parameters: str = "none", **layout: Any) -> Plan:
    layout = {"processes_per_node": 2, "zero_stage": 3, "micro_batch_sequences": 2} | layout
    layout |= {"offload_optimizer": states, "offload_parameters": parameters}
    schedule = {"steps": 4, "global_batch_sequences": 4, "checkpoint_every_steps": CHANGE}
    schedule |= {"evaluate_every_steps": CHANGE, "evaluate_tokens": 100}
    plan = tiny_plan(layout=layout, model=WIDE, schedule=schedule)
    # As forge.plan.lowering has it.
    zero = dict(plan.deepspeed["zero_optimization"])
    place = {"device": "nvme", "nvme_path": "nvme", "pin_memory": True}
    if states == "nvme":
        zero |= {"offload_optimizer": place, "sub_group_size": 600_000}
    if parameters == "nvme":
        size = parameter_buffer_elements(plan.model, plan.layout.world_size)
        zero["offload_param"] = place | {
            "max_in_cpu": 0,
            "buffer_count": PARAMETER_BUFFERS,
            "buffer_size": size,
        }
    if parameters == "cpu":
        zero["offload_param"] = {"device": "cpu", "pin_memory": True}
    config = {"zero_optimization": zero, "zero_force_ds_cpu_optimizer": False}
    return tiny_plan(layout=layout, model=WIDE, schedule=schedule, deepspeed=config)


def test_a_machine_that_cannot_build_it_is_told_so_in_one_line(
    tmp_path: Path, tokens: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "false")  # a compiler that finds no library
    plan = plan_of("nvme", processes_per_node=1, micro_batch_sequences=4)
    run_dir = make_run(tmp_path, plan)
    with pytest.raises(
        StageError,
        match=r"^train: engine\.offload_optimizer: nvme needs DeepSpeed's async_io, which can't be built here without "
        r"libaio: install libaio-dev, or use engine\.offload_optimizer=cpu$",
    ):
        train_here(plan, tokens, run_dir, place)
    with pytest.raises(FitError, match=r"^engine\.offload_optimizer: nvme needs DeepSpeed's async_io"):
        check_swapping(plan.layout)
    check_swapping(plan_of("none").layout)
    assert swapping_problem(plan_of("none").layout) is None


def test_each_rank_has_a_folder_of_its_own_and_clears_no_other(tmp_path: Path) -> None:
    for rank in range(2):
        swap_folder(tmp_path, rank).mkdir(parents=True)
        (swap_folder(tmp_path, rank) / "some.swp").touch()
    clear_swap_files(tmp_path, 0)
    clear_swap_files(tmp_path, 5)
    assert [path.name for path in (tmp_path / "nvme").iterdir()] == ["rank00001"]
    clear_swap_files(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def op() -> None:
    builder = op_builder()
    if builder is None or not builder.is_compatible(verbose=False):
        pytest.skip("DeepSpeed's async_io can't be built here: libaio is missing")
    builder.load(verbose=False)  # minutes, the first time


@pytest.mark.soak
@pytest.mark.usefixtures("op", "place")
def test_states_and_parameters_are_on_the_disk_and_not_in_memory(tmp_path: Path) -> None:
    plan = plan_of("nvme", "nvme", processes_per_node=1, micro_batch_sequences=4)
    optimizer = build_engine(plan, swap_to=tmp_path).optimizer
    matrices = plan.model.parameters - 5 * plan.model.hidden_size
    kinds = ("optimizer", "float32params")
    on_disk = {kind: list(tmp_path.glob(f"zero_stage_3/{kind}/*/*.swp")) for kind in kinds}
    assert sum(file.stat().st_size for file in on_disk["optimizer"]) == pytest.approx(4 * matrices, rel=0.01)
    assert sum(file.stat().st_size for file in on_disk["float32params"]) > 3 * matrices
    assert sum(flat.numel() for flat in optimizer.fp32_partitioned_groups_flat) < matrices / 100


@pytest.mark.soak
@pytest.mark.usefixtures("op")
def test_where_memory_holds_no_copy_a_checkpoint_is_written_part_by_part(
    tmp_path: Path, tokens: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of("nvme", processes_per_node=1, micro_batch_sequences=4)
    with_room, without = (make_run(tmp_path / name, plan) for name in ("with", "without"))
    train_here(plan, tokens, with_room, place)
    monkeypatch.setattr(checkpoint_saving, "available_memory_bytes", lambda: 0)
    train_here(plan, tokens, without, place)
    assert weights_sha256(without) == weights_sha256(with_room)
    for step in (CHANGE, 4):
        found, wanted = (state_of(run_dir, plan, step) for run_dir in (without, with_room))
        assert list(found) == list(wanted)
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.soak
@pytest.mark.usefixtures("op")
def test_what_lies_on_a_disk_trains_as_what_lies_in_memory(tmp_path: Path, tokens: Path) -> None:
    plans = {
        "in memory": plan_of("none"),
        "states": plan_of("nvme"),
        "states, again": plan_of("nvme"),
        "states, from memory": plan_of("nvme"),
        "states, parameters on the host": plan_of("nvme", "cpu"),
        "both": plan_of("nvme", "nvme"),
        "both, again": plan_of("nvme", "nvme"),
        "from a disk, in memory": plan_of("none", zero_stage=1),
    }
    before = {
        "states, again": "states",
        "states, from memory": "in memory",
        "both, again": "both",
        "from a disk, in memory": "both",
    }
    runs = {name: make_run(tmp_path / name, plan) for name, plan in plans.items()}
    train_in_ranks(
        {runs[name]: (plan, tokens) for name, plan in plans.items()},
        2,
        {runs[new]: runs[old] / "checkpoints" / checkpoint_name(CHANGE) for new, old in before.items()},
    )
    straight = losses(runs["in memory"])
    assert straight[4] < straight[1]
    for name in ("states", "states, parameters on the host", "both"):
        assert losses(runs[name]) == pytest.approx(straight, abs=FP32_BOUND)
        found, wanted = (
            events_of(runs[each], "evaluation")[-1]["held_out_loss"] for each in (name, "in memory")
        )
        assert found == pytest.approx(wanted, abs=FP32_BOUND)
    for name in ("states", "both"):
        again = runs[f"{name}, again"]
        assert losses(again) == {step: loss for step, loss in losses(runs[name]).items() if step > CHANGE}
        assert weights_sha256(again) == weights_sha256(runs[name])
    for name in before:
        assert [start["resumed_from"] for start in events_of(runs[name], "train_start")] == [CHANGE]
        for step, loss in losses(runs[name]).items():
            assert loss == pytest.approx(straight[step], abs=FP32_BOUND)
        assert not list((runs[name] / "nvme").glob("*"))
