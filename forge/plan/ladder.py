"""A run's own scaling ladder: small models of its family, each trained as the run would be, for a share of its cost.

A rung has the run's vocabulary, sequence length, head size and ratios of width to depth, to heads and to feed-forward
size, and its tokens a parameter: along such a ladder parameters and tokens are both powers of the compute, so that the
loss E + A/N^a + B/D^b of Hoffmann et al. 2022 (eq. 2; a and b nearly equal) is E + K C^-g, with three unknowns in place
of five. Rungs grow by a factor of RUNG_FACTOR in compute, the largest as large as the share allows.

Compute counts the output layer, and not the look-up in the embedding (Porian et al. 2024: with either counted otherwise
small models bend the curve).
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from forge.errors import SpecError, UserError
from forge.plan.model import model_flops_per_token, plan_model
from forge.plan.types import Plan

RUNG_FACTOR = 3.0
"""In compute, from one rung to the next: 1.7 in parameters."""

MIN_RUNGS = 3
"""Unknowns of the curve."""

RATE_FACTORS = (0.5, 1.0, 2.0)
"""Learning rates that the smallest rungs are trained with, times the one that is expected to be best."""

RUNGS_WITH_RATES = 2
"""So many of the smallest rungs are trained with each of RATE_FACTORS."""

MIN_STEPS = 1000
"""Of a rung, a rule of thumb: a warm-up of a fiftieth is then the 1/(1 - beta2) steps, 20 at a beta2 of 0.95, that
Adam's second moment averages over (Ma and Yarats 2021 advise twice that). A rung of fewer steps is all beginning: its
loss says how many updates there were, and not what its compute is worth."""

BATCH_BITS = 4
"""A batch is rounded to so many significant bits, by 6 % at most; the zeros below leave most micro-batches open."""

BATCH_EXPONENT = 0.3271
RATE_EXPONENT = -0.1250
"""Of the compute, in the best batch and the best learning rate: DeepSeek-AI 2024 (DeepSeek LLM, arXiv:2401.02954),
§3.1. The run's own batch and learning rate give the heights of both curves. Under muP the best rate does not depend on
the width, and stays as it is (Yang et al. 2022)."""

Changes = dict[str, Any]
"""Values of dotted keys of a spec."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One small model, and what its training is predicted to take."""

    changes: Changes
    """What its spec says other than the run's, at the learning rate expected to be best."""
    parameters: int
    """Active for a token."""
    tokens: int
    compute_flops: float
    wall_clock_s: float
    device_hours: float
    """Of GPUs, or of CPU processes."""
    cost_usd: float | None
    rate_factors: tuple[float, ...]
    """It is trained with each of these times its learning rate."""

    def at_rate(self, factor: float) -> Changes:
        """Return the changes of the spec at `factor` times the learning rate expected to be best."""
        rates = {key: _three_digits(self.changes[key] * factor) for key in _RATES if key in self.changes}
        name = self.changes["name"]
        return {
            **self.changes,
            **rates,
            "name": name if factor == 1 else f"{name}-rate-{factor:g}".replace(".", "_"),
        }


@dataclass(frozen=True, slots=True)
class Ladder:
    """What is trained before a run, smallest first, and the run that it is for."""

    rungs: tuple[Rung, ...]
    run_compute_flops: float
    run_device_hours: float
    rate_exponent: float
    """Of the compute, in the best learning rate."""

    @property
    def device_hours(self) -> float:
        """Of all rungs at all their learning rates."""
        return sum(rung.device_hours * len(rung.rate_factors) for rung in self.rungs)

    @property
    def cost_usd(self) -> float | None:
        """Of all rungs at all their learning rates; None where no price is known."""
        costs = [rung.cost_usd * len(rung.rate_factors) for rung in self.rungs if rung.cost_usd is not None]
        return sum(costs) if len(costs) == len(self.rungs) else None

    @property
    def share(self) -> float:
        """Of the cost of the run."""
        return self.device_hours / self.run_device_hours


def plan_ladder(
    values: dict[str, Any], run: Plan, compile_values: Callable[[dict[str, Any]], Plan]
) -> Ladder:
    """Return the ladder of a run.

    Args:
        values: its spec, composed and valid; group `sweep` says how many rungs and what share of its cost.
        run: its plan.
        compile_values: compiles a spec.

    Raises:
        SpecError: the run is none that a ladder predicts, or the share is too small for three rungs.
    """
    _check(values)
    share, wanted = values["sweep"]["share"], values["sweep"]["rungs"]
    run_flops, run_hours = _compute_flops(run), _device_hours(run)
    smaller = _smaller_shapes(values, run)
    least_batch = _least_batch_sequences(values, run) * run.schedule.sequence_length
    shapes = [shape for shape in smaller if shape.tokens >= MIN_STEPS * least_batch]
    rungs: dict[int, Rung] = {}
    cheapest: Ladder | None = None
    for top in reversed(range(MIN_RUNGS - 1, len(shapes))):
        # Small models make less of a device: where FLOPs alone are too many, time is.
        if shapes[top].compute_flops > share * run_flops and top > MIN_RUNGS - 1:
            continue
        chosen = _spread([shape.compute_flops for shape in shapes[: top + 1]], wanted)
        for index in chosen:
            if index not in rungs:
                rungs[index] = _rung(values, run, shapes[index], compile_values)
        ladder = Ladder(
            tuple(
                replace(rungs[index], rate_factors=RATE_FACTORS if number < RUNGS_WITH_RATES else (1.0,))
                for number, index in enumerate(chosen)
            ),
            run_flops,
            run_hours,
            _rate_exponent(values),
        )
        if ladder.share <= share:
            return ladder
        cheapest = ladder
    if cheapest is None and len(smaller) >= MIN_RUNGS:
        raise SpecError(
            f"sweep.method: a ladder needs {MIN_RUNGS} smaller models that train for {MIN_STEPS:,} steps, of "
            f"{least_batch:,} tokens at least, and {len(shapes)} of {len(smaller)} do: train on more tokens, or use "
            "fewer devices or shorter sequences"
        )
    if cheapest is None:
        raise SpecError(
            f"sweep.method: a ladder needs {MIN_RUNGS} smaller models of the same head size, and a model of "
            f"{run.model.attention_heads} heads has {len(shapes)}: choose a larger model"
        )
    raise SpecError(
        f"sweep.share: {share:g} of the run's cost does not pay for {MIN_RUNGS} rungs: "
        f"at least {_rounded_up(cheapest.share):g} does"
    )


def _check(values: dict[str, Any]) -> None:
    train = values["train"]
    if train["task"] != "pretrain" or train["lora_rank"] or values["model"]["init_from"] is not None:
        raise SpecError(
            "sweep.method: a ladder predicts a training from random weights: use train=pretrain, "
            "model.init_from=null and train.lora_rank=null"
        )


@dataclass(frozen=True, slots=True)
class _Shape:
    """A smaller model of the family, and what it is trained on."""

    changes: Changes
    tokens: float
    compute_flops: float


def _smaller_shapes(values: dict[str, Any], run: Plan) -> list[_Shape]:
    """Return the smaller models of the family, one for each smaller number of heads, smallest first."""
    model, length = run.model, run.schedule.sequence_length
    shapes: list[_Shape] = []
    for heads in range(1, model.attention_heads):
        scale = heads / model.attention_heads
        shape = {
            "layers": max(1, round(model.layers * scale)),
            "hidden_size": _multiple(model.hidden_size * scale, 8),
            "attention_heads": heads,
            "kv_heads": _divisor(heads, model.kv_heads * scale),
            "head_dim": model.head_dim,
            "intermediate_size": _multiple(model.intermediate_size * scale, 8),
        }
        small = plan_model(values["model"] | shape, model.vocab_size, length)
        tokens = run.estimates.tokens_per_parameter * small.active_parameters
        changes = {f"model.{key}": value for key, value in shape.items()}
        shapes.append(_Shape(changes, tokens, tokens * model_flops_per_token(small, length)))
    return shapes


def _spread(flops: Sequence[float], wanted: int) -> list[int]:
    """Return the indices of at most `wanted` of the given, and no fewer than MIN_RUNGS, that grow by RUNG_FACTOR.

    The last is among them; where there are none so far apart, the next nearest are taken.
    """
    chosen = [len(flops) - 1]
    while len(chosen) < wanted and chosen[-1] > 0:
        target = math.log(flops[chosen[-1]] / RUNG_FACTOR)
        left = range(max(0, MIN_RUNGS - 1 - len(chosen)), chosen[-1])
        chosen.append(min(left, key=lambda index: abs(math.log(flops[index]) - target)))
    return chosen[::-1]


def ladder_name(run_name: str) -> str:
    """Return what the ladder of a run is called; the names of its rungs begin so."""
    return f"{run_name[:40]}-ladder"


def _rung(
    values: dict[str, Any], run: Plan, shape: _Shape, compile_values: Callable[[dict[str, Any]], Plan]
) -> Rung:
    changes = {
        "name": f"{ladder_name(values['name'])}-"
        f"{shape.changes['model.layers']}x{shape.changes['model.hidden_size']}",
        **shape.changes,
        **_training(values, run, shape),
        **_left_out(values),
    }
    try:
        plan = compile_values(_changed(values, changes))
    except UserError as error:
        raise type(error)(
            *(f"sweep.method: rung {changes['name']}: {line}" for line in error.lines)
        ) from None
    return Rung(
        changes,
        plan.model.active_parameters,
        plan.schedule.tokens,
        _compute_flops(plan),
        plan.estimates.wall_clock_s,
        _device_hours(plan),
        plan.estimates.cost_usd,
        (1.0,),
    )


def _training(values: dict[str, Any], run: Plan, shape: _Shape) -> Changes:
    """Return batch, tokens and learning rate of a rung; what the run has in tokens is scaled with its tokens."""
    train, schedule = values["train"], run.schedule
    scale = shape.compute_flops / _compute_flops(run)
    expected = schedule.global_batch_sequences * scale**BATCH_EXPONENT
    most = shape.tokens / schedule.sequence_length / MIN_STEPS
    sequences = _batch_sequences(expected, most, _least_batch_sequences(values, run))
    batch = sequences * schedule.sequence_length
    # Noise of a gradient goes with the root of the batch, and so does Adam's best rate (Malladi et al. 2022).
    rate_factor = scale ** _rate_exponent(values) * math.sqrt(sequences / expected)
    tokens = batch * max(MIN_STEPS, round(shape.tokens / batch))
    changes: Changes = {
        "train.global_batch_tokens": batch,
        "train.tokens": tokens,
        **dict.fromkeys(("train.steps", "train.epochs", "train.hours", "train.budget_usd")),
    }
    for key in _RATES if train["optimizer"] == "muon" else _RATES[:1]:
        rate = train[key.removeprefix("train.")]
        changes[key] = _three_digits(rate * rate_factor)
    for key in ("warmup_tokens", "decay_tokens"):
        if train[key] is not None:
            changes[f"train.{key}"] = max(1, round(train[key] * tokens / schedule.tokens))
    if any(phase.get("tokens") is not None for phase in train["phases"] or ()):
        whole = sum(phase["tokens"] for phase in train["phases"])
        changes["train.phases"] = [
            {"fraction": phase["tokens"] / whole, "source_weights": phase["source_weights"]}
            for phase in train["phases"]
        ]
    return changes


def _least_batch_sequences(values: dict[str, Any], run: Plan) -> int:
    """Return the sequences of the smallest batch: one for each process, or as many as the spec pins.

    A batch is a whole number of these, and no other where micro-batch and accumulation are both pinned.
    """
    pinned: list[int] = [values["engine"][key] for key in _SHARES if values["engine"][key] != "auto"]
    return run.layout.world_size // run.layout.sequence_parallel_degree * math.prod(pinned)


def _batch_sequences(expected: float, most: float, least: int) -> int:
    """Return the multiple of `least` that is nearest to `expected` in BATCH_BITS, of those that are not above `most`.

    A smaller batch than expected costs no more tokens (McCandlish et al. 2018, §2.2): steps take longer, no worse.
    """
    step: int = least * 2 ** max(0, math.floor(math.log2(min(expected, most) / least)) - BATCH_BITS + 1)
    return max(least, min(round(expected / step), math.floor(most / step)) * step)


def _left_out(values: dict[str, Any]) -> Changes:
    """Return the changes that leave out what is not asked of a rung: all but its held-out loss."""
    evaluate = values["evaluate"]
    changes: Changes = {f"evaluate.gates.{gate}": None for gate, bound in evaluate["gates"].items() if bound}
    changes |= {f"evaluate.{key}": None for key in ("questions", "facts") if evaluate[key] is not None}
    if "evaluate.gates.min_task_scores" in changes:
        changes["evaluate.gates.min_task_scores"] = {}
    if evaluate["tasks"]:
        changes["evaluate.tasks"] = []
    if values["export"]["formats"] != ["hf"]:
        changes["export.formats"] = ["hf"]
    return changes


_SHARES = ("micro_batch_sequences", "gradient_accumulation_steps")
"""Keys of group `engine` whose product is what a process takes of a batch."""

_RATES = ("train.learning_rate", "train.muon_learning_rate")


def _rate_exponent(values: dict[str, Any]) -> float:
    return 0.0 if values["train"]["parametrization"] == "mup" else RATE_EXPONENT


def _compute_flops(plan: Plan) -> float:
    return plan.schedule.tokens * model_flops_per_token(plan.model, plan.schedule.sequence_length)


def _device_hours(plan: Plan) -> float:
    return plan.layout.world_size * plan.estimates.wall_clock_s / 3600


def _changed(values: dict[str, Any], changes: Changes) -> dict[str, Any]:
    """Return a spec with some of its values changed."""
    changed = copy.deepcopy(values)
    for key, value in changes.items():
        *path, last = key.split(".")
        node = changed
        for part in path:
            node = node[part]
        node[last] = value
    return changed


def with_changes(overrides: Sequence[str], changes: Changes) -> list[str]:
    """Return the command line of a rung: that of its run, with what it says other than it."""
    kept = [token for token in overrides if token.lstrip("+~").partition("=")[0] not in changes]
    return [*kept, *(f"{key}={_written(value)}" for key, value in changes.items())]


def _written(value: Any) -> str:
    """Return a value in Hydra's grammar."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    return value if isinstance(value, str) else json.dumps(value)


def _multiple(value: float, of: int) -> int:
    return max(of, round(value / of) * of)


def _divisor(of: int, near: float) -> int:
    """Return the largest divisor of a number that is not above `near`; 1 at least."""
    return max(
        divisor for divisor in range(1, of + 1) if of % divisor == 0 and (divisor <= near or divisor == 1)
    )


def _three_digits(value: float) -> float:
    return float(f"{value:.3g}")


def _rounded_up(value: float) -> float:
    """Return a number to two digits, and not below it."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / unit) * unit:.2g}")
