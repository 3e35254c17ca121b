"""Memory of one training step, counted without a GPU: the real model in the real DeepSpeed engine, on fake tensors.

Under torch's FakeTensorMode a tensor has a shape, a type and a storage of a size, but no bytes; under the `fake`
process group collectives return at once, for any world size. Everything else is what a worker runs: forge's model,
loss, optimizer and DeepSpeed config. Counting the storages that are alive gives saved activations, states and peak
of rank 0, as torch's allocator would count them on a GPU. Not counted: the CUDA context, NCCL, workspaces of
kernels, fragmentation.

What had to be patched, and why, stands at `_patch`. Where states are offloaded the device is called `cpu:0` and the
host `cpu`: to torch those are two devices, and it refuses to mix them, so what lies where is never a guess.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

os.environ.update(DS_ACCELERATOR="cpu", LOCAL_RANK="0", RANK="0", WORLD_SIZE="1")

import deepspeed
import torch
import transformers
from deepspeed.accelerator import get_accelerator
from deepspeed.ops.adam import DeepSpeedCPUAdam
from deepspeed.runtime.zero import partition_parameters, partitioned_param_coordinator, stage3
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers.models.llama import modeling_llama
from transformers.models.mistral import modeling_mistral
from transformers.models.mixtral import modeling_mixtral
from transformers.models.qwen2 import modeling_qwen2
from transformers.models.qwen3 import modeling_qwen3
from transformers.models.qwen3_moe import modeling_qwen3_moe

from forge.engine import expert_parallel
from forge.engine.lora import add_adapters
from forge.engine.loss import compute_loss_inside, computes_its_loss, micro_batch_loss
from forge.engine.model import build_config, checkpoint_activations
from forge.engine.optimizer import build_optimizer
from forge.plan.hardware import Hardware
from forge.plan.layout import Layout
from forge.plan.lowering import deepspeed_config
from forge.plan.types import ModelPlan

DEVICE, HOST = torch.device("cpu:0"), torch.device("cpu")

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}

GRADIENT_CLIP = 1.0

MODELINGS: tuple[Any, ...] = (
    modeling_llama,
    modeling_mistral,
    modeling_mixtral,
    modeling_qwen2,
    modeling_qwen3,
    modeling_qwen3_moe,
)
"""The modules of all families."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one rank held, in bytes."""

    states_bytes: int
    """Between two steps: weights, master weights, moments, and what DeepSpeed keeps besides."""
    saved_bytes: int
    """Made by the forward pass of a micro-batch and kept for its backward pass; gathered weights left out."""
    gathered_bytes: int
    """Gathered weights alive after the forward pass (ZeRO stage 3)."""
    peak_bytes: int
    """The most at any moment of the second step."""
    peak_phase: str
    host_bytes: int
    """Offloaded states of one rank in host memory, between two steps; 0 where nothing is offloaded."""
    seconds: float


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the storages that are alive. `kind` labels what is made from now on."""

    def __init__(self, trace: bool = False, offloads: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.offloads = offloads
        self.host_bytes = 0
        self.live: dict[int, tuple[int, str]] = {}
        self.by_kind: Counter[str] = Counter()
        self.now_bytes = self.peak_bytes = 0
        self.kind, self.phase, self.peak_phase = "states", "", ""
        self.trace = trace
        self.peak_sites: Counter[str] = Counter()
        self.phase_peak: dict[str, tuple[int, Counter[str]]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run `func` and count what it made. No number can be read from a fake tensor: all are zero."""
        if func is torch.ops.aten._local_scalar_dense.default:
            return {
                torch.bool: False,
                torch.float32: 0.0,
                torch.bfloat16: 0.0,
                torch.float16: 0.0,
                torch.float64: 0.0,
            }.get(args[0].dtype, 0)
        if func is torch.ops.aten._grouped_mm.default and args[0].dtype == torch.float32:
            out = _grouped_product(*args)
        else:
            out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor) and tensor.device.type != "meta":
                self._count(tensor, func)
        return out

    def _count(self, tensor: torch.Tensor, func: Any) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self.live:
            return
        kind = self.kind
        if self.offloads and tensor.device == HOST:
            self.live[key] = (storage.nbytes(), "host")
            self.host_bytes += storage.nbytes()
            weakref.finalize(storage, self._forget, key)
            return
        if self.trace:
            kind = f"{self.phase:8} {func.name():40} {str(tensor.dtype)[6:]:9} {_site()}"
        self.live[key] = (storage.nbytes(), kind)
        weakref.finalize(storage, self._forget, key)
        self.by_kind[kind] += storage.nbytes()
        self.now_bytes += storage.nbytes()
        if self.now_bytes > self.peak_bytes:
            self.peak_bytes, self.peak_phase = self.now_bytes, self.phase
        if self.trace and self.now_bytes > self.phase_peak.get(self.phase, (0,))[0]:
            self.phase_peak[self.phase] = (self.now_bytes, self.by_kind.copy())

    def _forget(self, key: int) -> None:
        size, kind = self.live.pop(key)
        if kind == "host":
            self.host_bytes -= size
            return
        self.now_bytes -= size
        self.by_kind[kind] -= size

    @contextlib.contextmanager
    def making(self, kind: str) -> Iterator[None]:
        """Label what is made inside."""
        before, self.kind = self.kind, kind
        yield
        self.kind = before


def _grouped_product(left: Any, right: Any, offsets: Any, *_: Any) -> Any:
    """An empty result of aten._grouped_mm, whose shape function refuses fp32 although its kernels take it."""
    if right.ndim == 3:
        return left.new_empty(left.shape[0], right.shape[2])
    return left.new_empty(offsets.shape[0], left.shape[0], right.shape[1])


def _site() -> str:
    """The nearest lines of DeepSpeed, transformers and forge that made a tensor."""
    frame: FrameType | None = sys._getframe(3)
    names: list[str] = []
    while frame and len(names) < 4:
        path = frame.f_code.co_filename
        if any(part in path for part in ("/deepspeed/", "/transformers/", "forge/engine")):
            names.append(f"{Path(path).name}:{frame.f_code.co_name}:{frame.f_lineno}")
        frame = frame.f_back
    return " < ".join(names)


def _patch(live: LiveBytes, attention: str) -> None:
    """Replace what can't run on fake tensors. The process is not good for anything else afterwards."""
    # Module.to and .bfloat16 swap tensors, which fake tensors refuse; the model is built where and as it shall be.
    torch.nn.Module._apply = lambda self, *_, **__: self  # type: ignore[method-assign]
    # fp16 is not for a CPU, says DeepSpeed; nothing is computed here.
    type(get_accelerator()).is_fp16_supported = lambda _: True
    # Compares integers of the ranks: there is one rank.
    for module in (stage3, partition_parameters, partitioned_param_coordinator):
        module.assert_ints_same_as_other_ranks = lambda *_, **__: None
    if attention != "eager":
        # Whether a mask is needed is read from data when that is real, and the answer is no (tests/engine).
        for modeling in MODELINGS:
            modeling.create_causal_mask = lambda *_, **__: None
    # Only to label gathered weights.
    coordinator = partitioned_param_coordinator.PartitionedParameterCoordinator
    fetch = coordinator.fetch_sub_module

    def labelled(self: Any, *arguments: Any, **options: Any) -> Any:
        with live.making("gathered"):
            return fetch(self, *arguments, **options)

    coordinator.fetch_sub_module = labelled
    if live.offloads:
        _patch_offload()


def _patch_offload() -> None:
    """Tell device and host apart, and let AdamW on the host keep its states without its compiled kernel."""
    accelerator = type(get_accelerator())
    accelerator.device_name = lambda *_: str(DEVICE)
    accelerator.current_device_name = lambda *_: str(DEVICE)
    accelerator.on_accelerator = lambda _, tensor: tensor.device == DEVICE

    def construct(self: Any, groups: Any, **options: Any) -> None:
        torch.optim.Optimizer.__init__(self, groups, {"lr": options["lr"], "betas": options["betas"]})
        self.fp32_optimizer_states = options["fp32_optimizer_states"]

    def step(self: Any, closure: Any = None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and not self.state[parameter]:
                    for name in ("exp_avg", "exp_avg_sq"):
                        self.state[parameter][name] = torch.zeros_like(parameter.data, device=HOST)

    DeepSpeedCPUAdam.__init__ = construct
    DeepSpeedCPUAdam.add_param_group = torch.optim.Optimizer.add_param_group
    DeepSpeedCPUAdam.__del__ = lambda self: None
    DeepSpeedCPUAdam.step = step


def _share_experts(network: Any, layout: Layout, sequence_length: int) -> None:
    """Leave `network` the experts of one rank, in even use: from a fake tensor nobody reads how many tokens come."""
    group = expert_parallel.join_expert_group(layout.expert_parallel_degree)
    assert group is not None
    for layer in network.model.layers:
        experts = layer.mlp.experts
        for name, stack in list(experts.named_parameters()):
            part = group.part(f".mlp.experts.{name}", stack.detach())
            setattr(experts, name, torch.nn.Parameter(part))
    expert_parallel.share_experts(network, group)
    chosen = layout.micro_batch_sequences * sequence_length * network.config.num_experts_per_tok
    expert_parallel.rows_of_ranks = lambda *_: [chosen // group.degree] * group.degree


def hardware(world_size: int) -> Hardware:
    """Return GPUs of which only the number matters."""
    per_node = min(world_size, 8)
    return Hardware(
        name=f"{world_size}xgpu",
        device="cuda",
        gpu="h100",
        nodes=world_size // per_node,
        devices_per_node=per_node,
        threads_per_process=4,
        device_memory_bytes=80 * 1024**3,
        host_memory_bytes=2 * 1024**4,
        peak_flops=1e15,
        matmul_flops={"bf16": 8e14, "fp16": 8e14, "fp32": 4e14},
        memory_bytes_per_s=3e12,
        gpu_link_bytes_per_s=4e11,
        node_link_bytes_per_s=4e11,
        usd_per_gpu_hour=None,
        native_bf16=True,
    )


def measure(
    model: ModelPlan, layout: Layout, world_size: int, sequence_length: int, trace: bool = False
) -> Measured:
    """Run two optimizer steps on fake tensors and return what the last rank held in the second. Once a process."""
    began_s = time.perf_counter()
    logging.disable(logging.WARNING)
    torch.distributed.init_process_group(
        "fake", store=FakeStore(), rank=world_size - 1, world_size=world_size
    )
    offloads = layout.offload_optimizer != "none" or layout.offload_parameters != "none"
    # On a CPU init_distributed compiles this op, which serves inference only.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(verbose=False)
    live = LiveBytes(trace, offloads)
    _patch(live, layout.attention)
    clip = 0.0 if layout.optimizer == "muon" else GRADIENT_CLIP
    config = deepspeed_config(layout, hardware(world_size), clip, model)
    schedule = SimpleNamespace(
        optimizer=layout.optimizer,
        weight_decay=0.1,
        learning_rate=1e-3,
        adam_beta1=0.9,
        adam_beta2=0.95,
        adam_epsilon=1e-8,
        mup_base_hidden_size=0,
        muon_learning_rate=0.02,
        muon_momentum=0.95,
    )
    saved = gathered = host = 0
    # Where DeepSpeed names no device it means the host; where a model does, the device.
    on_device = DEVICE if offloads else contextlib.nullcontext()
    with FakeTensorMode(allow_non_fake_inputs=True), live:
        with on_device:
            network = transformers.AutoModelForCausalLM.from_config(
                build_config(model, layout.attention), dtype=DTYPES[layout.precision]
            )
        if model.lora_rank:
            with on_device:
                add_adapters(network, model, seed=0)
        if layout.expert_parallel_degree > 1:
            _share_experts(network, layout, sequence_length)
        checkpoint_activations(network, layout.activation_checkpointing)
        if computes_its_loss(model, layout.loss_chunks):
            compute_loss_inside(network, layout.loss_chunks)
        plan: Any = SimpleNamespace(schedule=schedule, layout=layout, model=model)
        optimizer = build_optimizer(plan, network.train())
        if layout.zero_stage == 3:
            deepspeed.zero.Init(module=network, config_dict_or_path=config)
        engine, *_ = deepspeed.initialize(model=network, optimizer=optimizer, config=config)
        for step in range(2):
            live.peak_bytes = 0
            states, host = live.now_bytes, live.host_bytes
            for micro_batch in range(layout.gradient_accumulation_steps):
                shape = (layout.micro_batch_sequences, sequence_length)
                inputs = torch.zeros(*shape, dtype=torch.int64, device=DEVICE if offloads else HOST)
                targets = torch.zeros_like(inputs)
                before, before_gathered = live.now_bytes, live.by_kind["gathered"]
                live.phase = f"{step}.{micro_batch} fwd"
                with on_device:
                    loss = micro_batch_loss(engine, inputs, targets, model, layout.loss_chunks).total
                gathered = live.by_kind["gathered"]
                saved = live.now_bytes - before - (gathered - before_gathered)
                live.phase = f"{step}.{micro_batch} bwd"
                engine.backward(loss)
                live.phase = f"{step}.{micro_batch} step"
                engine.step()
    if trace:
        for phase, (size, kinds) in live.phase_peak.items():
            print(f"--- {phase}: {size / 2**20:.1f} MiB")
            for kind, part in kinds.most_common(28):
                if part:
                    print(f"{part / 2**20:10.2f} {kind}")
    seconds = time.perf_counter() - began_s
    return Measured(states, saved, gathered, live.peak_bytes, live.peak_phase, host, seconds)
