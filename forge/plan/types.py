"""The plan: what will be done, fully resolved and immutable. Plain frozen data; `plan.json` is its only form on disk.

The worker reads this file and nothing else, so every rank, every retry and every colleague runs the same thing.
"""

from __future__ import annotations

import hashlib
import json
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from forge.errors import SpecError
from forge.plan.json_values import decode, plain
from forge.plan.layout import Optimizer, Precision, StatesPrecision

Task = Literal["pretrain", "sft", "dpo"]
"""What is learnt: the next token of documents, the answers in conversations (supervised fine-tuning), or which of two
answers is preferred (direct preference optimization)."""

PLAN_FORMAT = 1
PLAN_ID_HEX_DIGITS = 12


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """Shape of the network. Weights are named as transformers names them for `family`."""

    family: Literal["llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe"]
    layers: int
    hidden_size: int
    attention_heads: int
    kv_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    max_sequence_length: int
    rope_theta: float
    rms_norm_epsilon: float
    tied_embeddings: bool
    initializer_std: float
    experts: int
    """0 for a dense model."""
    experts_per_token: int
    parameters: int
    active_parameters: int
    """Parameters one token passes through: equal to `parameters` for a dense model."""
    norm_topk_prob: bool = True
    """Whether the weights of a token's experts are made to add up to 1."""
    router_aux_loss_coef: float = 0.01
    """Of the load-balancing loss."""
    router_z_loss_coef: float = 0.0
    """Of the z-loss of the routers."""
    lora_rank: int = 0
    """Of the adapters that are trained in place of the weights (Hu 2021); 0: the weights are trained."""
    lora_alpha: float = 0.0
    """An adapter's product is multiplied by alpha / rank."""
    lora_dropout: float = 0.0
    """Share of the elements of an adapter's input that are dropped in training."""
    lora_target_modules: tuple[str, ...] = ()
    """Linear layers of each layer that get an adapter."""
    adapter_parameters: int = 0

    @property
    def trainable_parameters(self) -> int:
        """Parameters that get gradients and optimizer states."""
        return self.adapter_parameters if self.lora_rank else self.parameters

    @property
    def query_width(self) -> int:
        """Dimensions of a token's queries, all heads together."""
        return self.attention_heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Dimensions of a token's keys, and of its values."""
        return self.kv_heads * self.head_dim

    @property
    def has_qkv_bias(self) -> bool:
        """Whether queries, keys and values have biases."""
        return self.family == "qwen2"

    @property
    def has_qk_norm(self) -> bool:
        """Whether an RMSNorm is taken of each head's queries and keys."""
        return self.family in ("qwen3", "qwen3_moe")

    @property
    def attention_vectors(self) -> int:
        """Weights of one layer's attention that are not in matrices: biases, and scales of norms."""
        biases = self.query_width + 2 * self.kv_width if self.has_qkv_bias else 0
        return biases + (2 * self.head_dim if self.has_qk_norm else 0)


@dataclass(frozen=True, slots=True)
class LayoutPlan:
    """How the work is spread over devices."""

    hardware: str
    device: Literal["cpu", "cuda"]
    gpu: str
    """Chip name, '' on a CPU."""
    nodes: int
    processes_per_node: int
    world_size: int
    threads_per_process: int
    precision: Precision
    zero_stage: Literal[0, 1, 2, 3]
    offload_optimizer: Literal["none", "cpu", "nvme"]
    offload_parameters: Literal["none", "cpu", "nvme"]
    activation_checkpointing: Literal["none", "selective", "full"]
    micro_batch_sequences: int
    gradient_accumulation_steps: int
    hpz_partition_size: int
    """Devices over which stage 3 keeps a second copy of the parameters; 1 for none (Wang 2023)."""
    sequence_parallel_degree: int
    """Devices that share one sequence."""
    bucket_bytes: int
    attention: Literal["sdpa", "flash", "eager"] = "sdpa"
    loss_chunks: int = 1
    """Pieces of a micro-batch whose logits exist at a time."""
    optimizer_states: StatesPrecision = "fp32"
    compile_layers: bool = False
    """Each layer by torch.compile."""
    expert_parallel_degree: int = 1
    """Devices that together hold all experts once."""


@dataclass(frozen=True, slots=True)
class PhasePlan:
    """A part of a training with a mixture of its own."""

    first_step: int
    """From 1."""
    steps: int
    source_weights: dict[str, float]
    """How often the tokens of each source are in one pass over the phase's text; empty where no source is at hand."""


@dataclass(frozen=True, slots=True)
class SchedulePlan:
    """The optimisation, step by step."""

    sequence_length: int
    global_batch_sequences: int
    global_batch_tokens: int
    steps: int
    tokens: int
    learning_rate: float
    min_learning_rate: float
    learning_rate_schedule: Literal["cosine", "linear", "constant", "wsd"]
    warmup_steps: int
    decay_steps: int
    """Steps of the final decay; only `wsd` uses it."""
    weight_decay: float
    adam_beta1: float
    adam_beta2: float
    adam_epsilon: float
    gradient_clip: float
    """0: none."""
    log_every_steps: int
    checkpoint_every_steps: int
    keep_checkpoints: int
    """The newest ones."""
    keep_every_steps: int
    """Checkpoints at multiples of it are written and stay; 0: none."""
    evaluate_every_steps: int
    """Steps between measurements of held-out loss; 0: none."""
    evaluate_tokens: int
    """Held-out tokens measured each time."""
    z_loss: float = 0.0
    """Coefficient of the z-loss of the output layer."""
    task: Task = "pretrain"
    mup_base_hidden_size: int = 0
    """The width that `learning_rate` and first values are for, scaled to the model's own by muP; 0: not scaled."""
    mup_base_head_dim: int = 0
    """Dimensions of a head at that width; 0: the model's own."""
    optimizer: Optimizer = "adamw"
    muon_learning_rate: float = 0.0
    """Peak, of what Muon trains; it follows `learning_rate`."""
    muon_momentum: float = 0.0
    phases: tuple[PhasePlan, ...] = ()
    """Of a curriculum, one after the other; empty: one mixture throughout."""
    dpo_beta: float = 0.0
    """How closely preferences hold the model to the one it starts from (Rafailov 2023, eq. 7); 0: none are learnt."""


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """One place documents come from, and what it held when the plan was made."""

    path: str
    """As the spec says it: a folder, a file, or `package:NAME/inner/path`."""
    files: int
    bytes: int
    sha256: str
    """Over relative paths and contents; '' when the place was not there to be read."""


@dataclass(frozen=True, slots=True)
class MemoryItem:
    """One line of the memory table, per device (GPU, or process on a CPU)."""

    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Estimates:
    """The plan's prediction. Formulas and sources are in `forge.plan.memory`, `time` and `outlook`."""

    memory: tuple[MemoryItem, ...]
    peak_memory_bytes: int
    available_memory_bytes: int
    memory_error_fraction: float
    """Half-width of the band around memory."""
    host_memory: tuple[MemoryItem, ...]
    """Of one machine."""
    host_memory_available_bytes: int
    disk: tuple[MemoryItem, ...]
    """Of the whole run, upper bounds."""
    disk_available_bytes: int | None
    """Of one machine; None where unknown."""
    step_time_s: float
    tokens_per_second: float
    model_flops_utilization: float | None
    """Of the datasheet's peak; None on a CPU."""
    training_time_s: float
    """Of all steps, nothing failing."""
    time_error_fraction: float
    """Half-width of the band around times, cost and energy."""
    goodput_fraction: float
    """Share of the wall-clock time that is progress, faults and checkpoints considered."""
    wall_clock_s: float
    gpu_hours: float
    """Of the wall-clock time; 0 on a CPU."""
    cost_usd: float | None
    """None where no price is known (a CPU, an unpriced machine)."""
    energy_kwh: float | None
    """Of the GPUs at their boards' limit; None where that is not known."""
    expected_failures: float
    best_checkpoint_interval_s: float | None
    """None where no faults are expected (a CPU)."""
    checkpoint_stall_s: float
    checkpoint_bytes: int
    corpus_tokens: int
    """Tokens the data is expected to yield; 0 when unknown."""
    corpus_passes: float | None
    """Times the training text is read; None when its length is unknown."""
    tokens_per_parameter: float
    compute_optimal_tokens: int
    warnings: tuple[str, ...]
    reference_time_s: float = 0.0
    """Of the pass of the model that preferences are learnt from over all of them; in the wall-clock time."""


@dataclass(frozen=True, slots=True)
class AlternativePlan:
    """A layout that was not chosen."""

    layout: str
    nodes: int
    peak_memory_bytes: int
    step_time_s: float
    wall_clock_s: float
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """What the layout was chosen from."""

    objective: Literal["wall_clock", "cost"]
    candidates: int
    alternatives: tuple[AlternativePlan, ...]
    """The best of other kinds that fit, best first."""
    rejected: tuple[AlternativePlan, ...]
    """Plain layouts that do not fit: a ZeRO stage at the next larger micro-batch."""


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One step of the plan. `key` hashes everything its output depends on."""

    name: str
    inputs: tuple[str, ...]
    parameters: dict[str, Any]
    key: str


@dataclass(frozen=True, slots=True)
class PackPlan:
    """A pack that recipes of this plan are from."""

    name: str
    version: str
    sha256: str
    """Of the pack's file; of a Python package, over its recipes."""
    signer: str
    """As allowed_signers named who signed it where it was installed; '' where it named nobody."""
    fingerprint: str
    """Of the key that signed it; '' where none did."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done. `id` is the hash of all other fields but `packs`."""

    id: str
    format: int
    name: str
    seed: int
    forge_version: str
    sources: tuple[SourcePlan, ...]
    model: ModelPlan
    layout: LayoutPlan
    schedule: SchedulePlan
    deepspeed: dict[str, Any]
    stages: tuple[StagePlan, ...]
    estimates: Estimates
    search: SearchPlan
    spec: dict[str, Any]
    """The composed spec this plan was compiled from, every value resolved."""
    initial_weights: tuple[SourcePlan, ...] = ()
    """The folder of the model that training starts from; empty: from random weights."""
    packs: tuple[PackPlan, ...] = ()
    """Where its recipes came from. What they say is in `spec`: a recipe that says the same makes the same plan, whoever
    signed it and under whatever name the signer is known here."""

    def stage(self, name: str) -> StagePlan:
        """Return the stage called `name`; KeyError when the plan has none."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)


def content_hash(value: Any) -> str:
    """SHA-256 (hex) of a JSON value in canonical form: sorted keys, no spaces, finite numbers only."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def plan_to_dict(plan: Plan) -> dict[str, Any]:
    """Return the plan as JSON-ready values."""
    return typing.cast(dict[str, Any], plain(plan))


def plan_id(plan: Plan) -> str:
    """Return the id the plan's content deserves."""
    content = plan_to_dict(plan)
    del content["id"], content["packs"]
    return content_hash(content)[:PLAN_ID_HEX_DIGITS]


def plan_to_json(plan: Plan) -> str:
    """Return the text of `plan.json`: the same bytes for the same plan, one value a line for diffs."""
    return json.dumps(plan_to_dict(plan), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def load_plan(path: Path) -> Plan:
    """Read a `plan.json`.

    Raises:
        SpecError: it is not there, not a plan, of another format, or its content does not match its id.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{path}: cannot be read ({error.strerror}): name a plan.json") from None
    except ValueError:
        raise SpecError(f"{path}: is not JSON: compile it again with `forge plan`") from None
    if not isinstance(content, dict) or content.get("format") != PLAN_FORMAT:
        raise SpecError(f"{path}: is not a plan of format {PLAN_FORMAT}: compile it again with `forge plan`")
    try:
        plan = typing.cast(Plan, decode(Plan, content))
    except (KeyError, TypeError, ValueError) as error:
        raise SpecError(
            f"{path}: is not a whole plan ({error}): compile it again with `forge plan`"
        ) from None
    if plan_id(plan) != plan.id:
        raise SpecError(f"{path}: was changed after it was compiled: compile it again with `forge plan`")
    return plan
