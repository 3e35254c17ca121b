from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from forge.errors import SpecError
from forge.plan.types import SourcePlan, plan_id, plan_to_json
from tests.plan.specs import compiled

HEAVY = ("torch", "transformers", "deepspeed", "numpy")


def test_the_same_spec_makes_the_same_bytes_in_another_process() -> None:
    program = (
        "from tests.plan.specs import compiled; from forge.plan.types import plan_to_json;"
        "print(plan_to_json(compiled('+recipe=legal_7b', 'hardware=8xh100')), end='')"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert other == plan_to_json(compiled("+recipe=legal_7b", "hardware=8xh100"))


def test_compiling_imports_nothing_heavy() -> None:
    program = (
        "import sys, json; from tests.plan.specs import compiled;"
        "compiled('+recipe=legal_7b', 'hardware=8xh100'); compiled('+recipe=legal_tiny');"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout) == []


def test_the_id_is_the_hash_of_the_rest() -> None:
    plan = compiled("+recipe=legal_1b", "hardware=8xh100")
    assert plan.id == plan_id(plan) == plan_id(replace(plan, id="another"))
    assert plan.id != plan_id(replace(plan, seed=plan.seed + 1))


def test_where_the_output_goes_does_not_change_the_plan() -> None:
    here = compiled("+recipe=legal_1b", "hardware=8xh100")
    there = compiled("+recipe=legal_1b", "hardware=8xh100", "output_dir=/elsewhere")
    assert plan_to_json(here) == plan_to_json(there)
    assert "output_dir" not in here.spec


def test_the_global_batch_is_what_the_user_said() -> None:
    for hardware in ("1xh100", "8xh100", "8xa100"):
        plan = compiled("+recipe=legal_1b", f"hardware={hardware}")
        layout = plan.layout
        sequences = layout.world_size * layout.micro_batch_sequences * layout.gradient_accumulation_steps
        assert sequences * plan.schedule.sequence_length == plan.spec["train"]["global_batch_tokens"]
        assert plan.deepspeed["train_batch_size"] == sequences


def test_known_documents_count_before_assumed_ones() -> None:
    source = SourcePlan("/my/folder", 3, 400_000_000, "0" * 64)
    plan = compiled("+recipe=legal_125m", "hardware=1xh100", sources=(source,))
    assert plan.estimates.corpus_tokens == pytest.approx(100_000_000, rel=0.3)


def test_bf16_without_zero_is_refused() -> None:
    with pytest.raises(SpecError, match=r"engine.zero_stage.*zero_stage=1, or"):
        compiled("engine.zero_stage=0", "train.precision=auto", "hardware=8xh100")
    with pytest.raises(SpecError, match=r"engine.zero_stage"):
        compiled("engine.zero_stage=0", "train.precision=bf16", "hardware=8xh100")
    assert compiled("engine.zero_stage=0", "train.precision=fp32", "hardware=8xh100").layout.zero_stage == 0
