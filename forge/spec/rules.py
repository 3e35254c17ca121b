"""What a schema cannot say: rules between keys. Each broken rule is one line that names the keys.

A rule is a function of the values of its keys and returns what is wrong, or None. It is reported at the key that was
set last, by whoever spoke last.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from forge.spec.data_rules import age_counted, cap_given, real_day
from forge.spec.problems import Problem, problem_at
from forge.spec.schema import SpecSchema
from forge.spec.types import KeyPath, Origin, Origins, dotted, origin_of


@dataclass(frozen=True, slots=True)
class _Rule:
    keys: tuple[str, ...]
    """Dotted; their values are the check's arguments, in this order."""
    check: Callable[..., str | None]


def apply_rules(
    values: dict[str, Any], origins: Origins, refused: Collection[KeyPath], schema: SpecSchema
) -> tuple[dict[str, Any], Origins, list[Problem]]:
    """Return the values in one spelling (whole numbers as int, one way of several kept), their origins, and problems.

    Args:
        values: the composed tree, references resolved.
        origins: who set each value.
        refused: keys whose values are wrong by themselves; rules that need one of them are passed over.
        schema: of the spec.
    """
    values = _normal(values, schema.root)
    problems: list[Problem] = []
    for choice in _CHOICES:
        origins, found = _choose(choice, values, origins, refused)
        problems += found
    for rule in _RULES:
        keys = [tuple(name.split(".")) for name in rule.keys]
        if any(_is_refused(key, refused) for key in keys):
            continue
        message = rule.check(*(values[key[0]][key[1]] for key in keys))
        if message is not None:
            problems.append(_broken(keys, origins, message))
    return values, origins, problems


def _batch(batch: int, length: int) -> str | None:
    if batch % length == 0:
        return None
    near = [size for size in (batch // length * length, (batch // length + 1) * length) if size]
    return (
        f"global_batch_tokens {batch} is not a multiple of sequence_length {length}: "
        f"use {' or '.join(map(str, near))}"
    )


def _enough_tokens(tokens: int | None, batch: int) -> str | None:
    if tokens is None or tokens >= batch:
        return None
    return (
        f"a budget of {tokens} tokens is less than one global batch of {batch}: "
        "raise train.tokens or lower train.global_batch_tokens"
    )


def _phase_lengths(phases: list[dict[str, Any]] | None) -> str | None:
    phases = phases or []
    ways = [[key for key in ("fraction", "tokens") if phase.get(key) is not None] for phase in phases]
    for number, (phase, given) in enumerate(zip(phases, ways, strict=True), 1):
        if len(given) != 1:
            which = "both fraction and tokens" if given else "neither fraction nor tokens"
            return f"phase {number} has {which}: give one of them"
        if given != ways[0]:
            return f"phase 1 is given as {ways[0][0]}, phase {number} as {given[0]}: give all in one way"
        if not any(phase["source_weights"]):
            return f"phase {number} reads nothing: give one of its source_weights above 0"
    total = sum(phase["fraction"] for phase in phases) if ["fraction"] in ways else 1.0
    if abs(total - 1) > 1e-6:
        return f"the fractions add up to {total:.6g}: make it 1"
    return None


def _phase_weights(phases: list[dict[str, Any]] | None, weights: list[float] | None) -> str | None:
    if phases is None or weights is None:
        return None
    return "sources are weighted in train.phases and in data.source_weights: give one, the other null"


def _warmup_and_decay(warmup: float | None, decay: float | None, schedule: str) -> str | None:
    # Where one of them is in tokens, the run's length is known when the plan is made.
    if schedule != "wsd" or warmup is None or decay is None or warmup + decay <= 1:
        return None
    return (
        f"train.warmup_fraction {warmup} and train.decay_fraction {decay} "
        "add up to more than the whole run: lower one"
    )


def _heads(hidden: int, heads: int, head_dim: int | None) -> str | None:
    if head_dim is None and hidden % heads:
        return f"hidden_size {hidden} is not divisible by attention_heads {heads}: change one, or set model.head_dim"
    dimensions = head_dim or hidden // heads
    if dimensions % 2:
        return f"a head of {dimensions} dimensions cannot be rotated in pairs: make it even"
    return None


def _kv_heads(kv_heads: int, heads: int) -> str | None:
    if heads % kv_heads == 0:
        return None
    fitting = ", ".join(str(count) for count in range(1, heads + 1) if heads % count == 0)
    return f"kv_heads {kv_heads} does not divide attention_heads {heads}: use one of {fitting}"


def _experts(per_token: int, experts: int) -> str | None:
    if per_token <= experts:
        return None
    return f"experts_per_token {per_token} is more than experts {experts}: lower it"


def _held_out(family: float, duplicate: float) -> str | None:
    if family <= duplicate:
        return None
    return (
        f"held_out_group_jaccard {family} is above near_duplicate_jaccard {duplicate}: "
        "near-duplicates would stand on both sides of the held-out split: lower it, or raise the other"
    )


def _first_step(stage: Any, precision: str) -> str | None:
    if stage != 0 or precision not in ("bf16", "fp8", "fp16"):
        return None
    return f"ZeRO stage 0 in {precision} takes a wrong first step in DeepSpeed 0.19: use stage 1, or fp32"


def _narrow_states(states: Any, precision: str) -> str | None:
    if states != "bf16" or precision in ("auto", "bf16", "fp8"):
        return None
    return f"bf16 states go with bf16 weights, and these are {precision}: use fp32 states"


def _mup_base(parametrization: str, width: int | None, head_dim: int | None) -> str | None:
    if parametrization == "mup" and width is None:
        return "mup scales from a width: give train.mup_base_hidden_size, the one that train.learning_rate was found at"
    if parametrization == "standard" and (width is not None or head_dim is not None):
        return "the standard parametrization scales nothing: use train.parametrization=mup, or null"
    return None


def _mup_heads(base: int | None, head_dim: int | None, hidden: int, heads: int, family: str) -> str | None:
    own = head_dim or hidden // heads
    if base in (None, own) or not family.startswith("qwen3"):
        return None
    return f"the norms of {family}'s queries and keys undo what mup does for heads of another size than {own}: use null"


def _mup_from_random(parametrization: str, init_from: str | None) -> str | None:
    if parametrization == "standard" or init_from is None:
        return None
    return (
        "mup says what weights start from, and model.init_from says something else: "
        "use train.parametrization=standard"
    )


def _muon_clip(optimizer: str, clip: float | None) -> str | None:
    if optimizer != "muon" or clip is None:
        return None
    return (
        "with muon DeepSpeed 0.19 clips the orthogonal updates and not the gradients, so that "
        f"train.gradient_clip {clip:g} would all but stop it: use train.gradient_clip=null"
    )


def _muon_layout(optimizer: str, stage: Any, offload: str) -> str | None:
    if optimizer != "muon" or (stage in ("auto", 1, 2) and offload in ("auto", "none")):
        return None
    return "muon runs at ZeRO stages 1 and 2 on the device: use engine.zero_stage=2 and engine.offload_optimizer=none"


def _muon_adapters(optimizer: str, rank: int | None) -> str | None:
    if optimizer != "muon" or not rank:
        return None
    return "muon trains whole matrices, and adapters are none: use train.optimizer=adamw, or train.lora_rank=null"


def _muon_model(optimizer: str, experts: int) -> str | None:
    if optimizer != "muon" or not experts:
        return None
    return "muon trains dense models, and this one has experts: use train.optimizer=adamw"


def _muon_alone(optimizer: str, parametrization: str, states: str) -> str | None:
    if optimizer != "muon":
        return None
    if parametrization == "mup":
        return "mup's scales are those of AdamW: use train.parametrization=standard, or train.optimizer=adamw"
    if states != "fp32":
        return "muon keeps fp32 weights: use train.optimizer_states=fp32, or train.optimizer=adamw"
    return None


def _question_template(template: str) -> str | None:
    if "{question}" in template:
        return None
    return "has no {question} in it, where the question goes: add it"


def _fact_templates(templates: dict[str, str]) -> str | None:
    for attribute, template in templates.items():
        if "{subject}" not in template:
            return f"the template of {attribute!r} has no {{subject}} in it, where the subject's name goes: add it"
    return None


def _one_rival(endpoint: str | None, folder: str | None) -> str | None:
    if endpoint is None or folder is None:
        return None
    return "a rival is behind evaluate.rival_endpoint or in evaluate.rival_folder: give one, the other null"


NEED_NO_QUESTIONS = (
    "max_held_out_bits_per_byte",
    "max_held_out_near_copies",
    "max_held_out_contaminated_fraction",
    "max_recited_fraction",
    "min_task_scores",
)
"""Gates on the held-out text, that of the training, and standard tasks."""


def _gates(
    gates: dict[str, float | None], questions: str | None, facts: str | None, retrieval: bool
) -> str | None:
    asked = [name for name, bound in gates.items() if bound is not None and name not in NEED_NO_QUESTIONS]
    if asked and questions is None and facts is None:
        return f"{asked[0]} is a gate on questions, and none are asked: give evaluate.questions or evaluate.facts"
    if "min_known_exact_over_retrieval" in asked and not retrieval:
        return (
            "min_known_exact_over_retrieval is a gate on retrieval, which is off: use evaluate.retrieval=true"
        )
    return None


def _metric(
    metric: str, questions: str | None, facts: str | None, retrieval: bool, samples: int
) -> str | None:
    if metric.startswith(("known_", "unknown_")) and questions is None and facts is None:
        return f"{metric} is about questions, and none are asked: give evaluate.questions or evaluate.facts"
    if metric == "known_exact_over_retrieval" and not retrieval:
        return "known_exact_over_retrieval is about retrieval, which is off: use evaluate.retrieval=true"
    if metric == "recited_fraction" and not samples:
        return "recited_fraction is about training passages, and none are tried: raise evaluate.regurgitation_samples"
    return None


def _task_gates(gates: dict[str, Any], tasks: list[str]) -> str | None:
    # What a file calls its task is in the file.
    unknown = [task for task in gates.get("min_task_scores", {}) if task not in tasks]
    if not unknown or any(task.endswith((".yaml", ".yml")) for task in tasks):
        return None
    return f"min_task_scores bounds {unknown[0]}, which is not run: add it to evaluate.tasks"


_RULES = (
    _Rule(("train.global_batch_tokens", "train.sequence_length"), _batch),
    _Rule(("train.tokens", "train.global_batch_tokens"), _enough_tokens),
    _Rule(
        ("train.warmup_fraction", "train.decay_fraction", "train.learning_rate_schedule"), _warmup_and_decay
    ),
    _Rule(("train.phases",), _phase_lengths),
    _Rule(("train.phases", "data.source_weights"), _phase_weights),
    _Rule(("model.hidden_size", "model.attention_heads", "model.head_dim"), _heads),
    _Rule(("model.kv_heads", "model.attention_heads"), _kv_heads),
    _Rule(("model.experts_per_token", "model.experts"), _experts),
    _Rule(("data.stale_on",), real_day),
    _Rule(("data.age_on",), real_day),
    _Rule(("data.age_half_life_years", "data.age_on", "data.curate"), age_counted),
    _Rule(("data.source_cap_bytes", "data.curate"), cap_given),
    _Rule(("data.held_out_group_jaccard", "data.near_duplicate_jaccard"), _held_out),
    _Rule(("engine.zero_stage", "train.precision"), _first_step),
    _Rule(("train.optimizer_states", "train.precision"), _narrow_states),
    _Rule(("train.parametrization", "train.mup_base_hidden_size", "train.mup_base_head_dim"), _mup_base),
    _Rule(
        (
            "train.mup_base_head_dim",
            *("model.head_dim", "model.hidden_size", "model.attention_heads", "model.family"),
        ),
        _mup_heads,
    ),
    _Rule(("train.parametrization", "model.init_from"), _mup_from_random),
    _Rule(("train.optimizer", "train.gradient_clip"), _muon_clip),
    _Rule(("train.optimizer", "engine.zero_stage", "engine.offload_optimizer"), _muon_layout),
    _Rule(("train.optimizer", "model.experts"), _muon_model),
    _Rule(("train.optimizer", "train.lora_rank"), _muon_adapters),
    _Rule(("train.optimizer", "train.parametrization", "train.optimizer_states"), _muon_alone),
    _Rule(("evaluate.question_template",), _question_template),
    _Rule(("evaluate.fact_templates",), _fact_templates),
    _Rule(("evaluate.rival_endpoint", "evaluate.rival_folder"), _one_rival),
    _Rule(("evaluate.gates", "evaluate.questions", "evaluate.facts", "evaluate.retrieval"), _gates),
    _Rule(("evaluate.gates", "evaluate.tasks"), _task_gates),
    _Rule(
        (
            *("sweep.metric", "evaluate.questions", "evaluate.facts", "evaluate.retrieval"),
            "evaluate.regurgitation_samples",
        ),
        _metric,
    ),
)


@dataclass(frozen=True, slots=True)
class _Choice:
    """Keys that say one thing in several ways: one of them is given, the others are null."""

    what: str
    keys: tuple[str, ...]
    """Of group `train`."""


_CHOICES = (
    _Choice("budget", ("tokens", "steps", "epochs", "hours", "budget_usd")),
    _Choice("warm-up", ("warmup_fraction", "warmup_tokens")),
    _Choice("decay", ("decay_fraction", "decay_tokens")),
)


def _choose(
    choice: _Choice, values: dict[str, Any], origins: Origins, refused: Collection[KeyPath]
) -> tuple[Origins, list[Problem]]:
    """Who speaks last says in which way it is given; two ways from one mouth are a contradiction."""
    keys: list[KeyPath] = [("train", name) for name in choice.keys]
    if any(_is_refused(key, refused) for key in keys):
        return origins, []
    train = values["train"]
    given = sorted(
        (key for key in keys if train[key[1]] is not None),
        key=lambda key: _order(origins, key),
        reverse=True,
    )
    if not given:
        *first, last = map(dotted, keys)
        message = f"there is no {choice.what}: give {', '.join(first)} or {last}"
        return origins, [_broken(keys, origins, message)]
    kept, *dropped = given
    together = [key for key in keys if key in given and _order(origins, key) == _order(origins, kept)]
    if len(together) > 1:
        ways = " and as ".join(map(dotted, together))
        message = f"the {choice.what} is given as {ways}: give one, the other{'s' * (len(together) > 2)} null"
        return origins, [_broken(together, origins, message)]
    speaker = origins[kept][0]
    origin = Origin(speaker.where, speaker.trust, None, speaker.order)
    for key in dropped:
        train[key[1]] = None
        origins = {**origins, key: (origin, *origins[key])}
    return origins, []


def _broken(keys: list[KeyPath], origins: Origins, message: str) -> Problem:
    spoken = max(keys, key=lambda key: _order(origins, key))
    return problem_at(origin_of(origins, spoken), f"{dotted(spoken)}: {message}")


def _order(origins: Origins, key: KeyPath) -> float:
    return origins[key][0].order if key in origins else float("-inf")


def _is_refused(key: KeyPath, refused: Collection[KeyPath]) -> bool:
    return any(key[:length] in refused for length in range(1, len(key) + 1))


def _normal(value: Any, node: dict[str, Any]) -> Any:
    """Spell equal values equally and in the schema's order, so that they make the same plan."""
    if isinstance(value, dict):
        properties = node.get("properties", {})
        others = node.get("additionalProperties")
        names = sorted(value, key=list({**properties, **value}).index)
        return {
            name: _normal(value[name], properties.get(name) or (others if isinstance(others, dict) else {}))
            for name in names
        }
    if isinstance(value, list):
        return [_normal(item, node.get("items", {})) for item in value]
    kinds = node.get("type", ())
    kinds = {kinds} if isinstance(kinds, str) else set(kinds)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if "number" in kinds:
            return float(value)
        if isinstance(value, float) and value.is_integer():
            return int(value)
    return value
