from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
import transformers
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from forge.engine.model import ActivationCheckpointing, Attention, build_config, build_model
from forge.engine.optimizer import build_optimizer, set_learning_rate
from tests.factories import tiny_plan

FAMILIES: list[dict[str, Any]] = [
    {"family": "llama"},
    {"family": "mistral", "tied_embeddings": False},
    {"family": "mixtral", "experts": 4, "experts_per_token": 2},
    {"family": "qwen2"},
    {"family": "qwen3", "head_dim": 16},
    {"family": "qwen3_moe", "head_dim": 16, "experts": 4, "experts_per_token": 2},
]
KINDS: list[ActivationCheckpointing] = ["none", "selective", "full"]


@pytest.mark.parametrize("model", FAMILIES)
def test_the_network_has_the_planned_shape(model: dict[str, Any]) -> None:
    plan = tiny_plan(model=model)
    network = build_model(plan.model, seed=1)
    assert sum(parameter.numel() for parameter in network.parameters()) == plan.model.parameters
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert network.training
    assert network.config.model_type == plan.model.family
    assert getattr(network.config, "sliding_window", None) is None
    weight = network.model.layers[0].self_attn.q_proj.weight
    assert float(weight.detach().std()) == pytest.approx(plan.model.initializer_std, rel=0.15)


def test_qwen3_can_leave_the_weights_of_experts_as_they_are() -> None:
    model = FAMILIES[-1] | {"norm_topk_prob": False}
    router = build_model(tiny_plan(model=model).model, seed=1).model.layers[0].mlp.gate
    _, weights, _ = router(torch.randn(5, 32, generator=torch.Generator().manual_seed(1)))
    assert (weights.sum(dim=-1) < 0.9).all()


def test_the_seed_decides_the_weights_and_nothing_else_is_disturbed() -> None:
    model = tiny_plan().model
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    first, second, other = build_model(model, seed=1), build_model(model, seed=1), build_model(model, seed=2)
    assert torch.equal(before, torch.random.get_rng_state())
    name = "model.layers.0.mlp.up_proj.weight"
    assert torch.equal(first.state_dict()[name], second.state_dict()[name])
    assert not torch.equal(first.state_dict()[name], other.state_dict()[name])


def test_a_token_sees_no_later_one() -> None:
    network = build_model(tiny_plan().model, seed=1).eval()
    ids = torch.arange(3, 23).unsqueeze(0)
    changed = ids.clone()
    changed[0, 12] = 99
    with torch.no_grad():
        difference = (network(input_ids=ids).logits - network(input_ids=changed).logits).abs().amax(dim=-1)[0]
    assert not difference[:12].any()
    assert difference[12:].all()


def test_the_config_names_the_special_tokens() -> None:
    config = build_config(tiny_plan().model)
    assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (0, 1, 2)


def test_matrices_decay_and_vectors_do_not() -> None:
    plan = tiny_plan()
    network = build_model(plan.model, seed=1)
    optimizer = build_optimizer(plan, network)
    decayed, spared = optimizer.param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (plan.schedule.weight_decay, 0.0)
    assert len(spared["params"]) == 2 * plan.model.layers + 1
    assert len(decayed["params"]) + len(spared["params"]) == len(list(network.parameters()))
    set_learning_rate(optimizer, 0.125)
    assert [group["lr"] for group in optimizer.param_groups] == [0.125, 0.125]


@pytest.mark.parametrize("model", FAMILIES)
@pytest.mark.parametrize("kind", ["selective", "full"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_checkpointing_changes_no_gradient(
    model: dict[str, Any], kind: ActivationCheckpointing, attention: Attention
) -> None:
    shape = tiny_plan(model=model).model
    ids = torch.arange(3, 35).unsqueeze(0)
    gradients = []
    for checkpointing in ("none", kind):
        network = build_model(shape, 1, checkpointing, attention)
        torch.autograd.backward(network(input_ids=ids, labels=ids, use_cache=False).loss)
        gradients.append({name: parameter.grad for name, parameter in network.named_parameters()})
    plain, recomputed = gradients
    assert all(torch.equal(gradient, recomputed[name]) for name, gradient in plain.items())


class Made(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Remembers the storage of every tensor made, without keeping it alive."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._storages: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                self._storages[storage._cdata] = weakref.ref(storage)
        return out

    def alive_bytes(self) -> int:
        """Return the bytes of the storages that still exist."""
        storages = [reference() for reference in self._storages.values()]
        return sum(int(storage.nbytes()) for storage in storages if storage is not None)


def saved_bytes(kind: ActivationCheckpointing, attention: Attention) -> int:
    """Return what the decoder keeps for its backward pass."""
    shape = tiny_plan(model={"max_sequence_length": 256}).model
    network = build_model(shape, 1, kind, attention)
    with Made() as made:
        hidden = network.model(input_ids=torch.arange(256).unsqueeze(0), use_cache=False).last_hidden_state
    assert hidden.requires_grad
    size: int = made.alive_bytes()
    return size


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_each_kind_of_checkpointing_keeps_less(attention: Attention) -> None:
    none, selective, full = (saved_bytes(kind, attention) for kind in ("none", "selective", "full"))
    assert none > 1.3 * selective > 1.3 * 1.3 * full


def test_selective_checkpointing_lets_other_work_come_between() -> None:
    """ZeRO stage 3 gathers weights while a layer is run again, where it did not while it ran first."""
    ids = torch.arange(3, 35).unsqueeze(0)
    gradients = []
    for kind in KINDS:
        network = build_model(tiny_plan().model, 1, kind)
        runs: list[torch.Tensor] = []

        def gather(_module: Any, _arguments: Any, runs: list[torch.Tensor] = runs) -> None:
            for _ in runs:
                torch.empty(8).mul(2)
            runs.append(torch.zeros(1))

        network.model.layers[0].mlp.up_proj.register_forward_pre_hook(gather)
        torch.autograd.backward(network(input_ids=ids, labels=ids, use_cache=False).loss)
        assert len(runs) == (1 if kind == "none" else 2)
        gradients.append(network.model.layers[0].mlp.up_proj.weight.grad)
    assert all(torch.equal(gradients[0], gradient) for gradient in gradients)


def test_selective_checkpointing_never_keeps_the_scores_of_eager_attention() -> None:
    model = tiny_plan().model
    scores = 4 * model.layers * model.attention_heads * 256**2
    assert saved_bytes("none", "eager") - saved_bytes("selective", "eager") > scores


@pytest.mark.parametrize("attention", ["sdpa", "flash"])
def test_no_causal_mask_is_built(attention: Attention, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.models.llama import modeling_llama

    masks = []
    build_mask = modeling_llama.create_causal_mask

    def watched(*arguments: Any, **options: Any) -> Any:
        masks.append(build_mask(*arguments, **options))
        raise InterruptedError

    monkeypatch.setattr(modeling_llama, "create_causal_mask", watched)
    network = build_model(tiny_plan().model, seed=1)
    network.config._attn_implementation = build_config(tiny_plan().model, attention)._attn_implementation
    with pytest.raises(InterruptedError):
        network(input_ids=torch.arange(3, 35).unsqueeze(0), use_cache=False)
    assert masks == [None]


@pytest.mark.parametrize("model", FAMILIES)
def test_a_model_has_storage_for_all_and_its_frequencies(model: dict[str, Any]) -> None:
    shape = tiny_plan(model=model).model
    network = build_model(shape, seed=1)
    tensors = [*network.parameters(), *network.buffers()]
    assert {tensor.device.type for tensor in tensors} == {"cpu"}
    with torch.no_grad():
        stock = transformers.AutoModelForCausalLM.from_config(build_config(shape))
    assert torch.equal(network.model.rotary_emb.inv_freq, stock.model.rotary_emb.inv_freq)
    for name, parameter in stock.named_parameters():
        mine = network.get_parameter(name)
        assert mine.shape == parameter.shape
        if parameter.ndim < 2:  # scales of norms are 1, biases 0
            assert torch.equal(mine, parameter)
        elif "embed" not in name:
            assert float(mine.detach().std()) == pytest.approx(float(parameter.detach().std()), rel=0.25)
    assert not network.get_input_embeddings().weight[network.config.pad_token_id].any()


def test_tied_embeddings_stay_one_weight() -> None:
    network = build_model(tiny_plan(model={"tied_embeddings": True}).model, seed=1)
    assert network.lm_head.weight is network.model.embed_tokens.weight


def test_a_layer_more_changes_no_other_weight_and_bf16_is_the_rounded_fp32() -> None:
    shallow, deep = (build_model(tiny_plan(model={"layers": n}).model, seed=1) for n in (1, 2))
    rounded = build_model(tiny_plan(model={"layers": 1}).model, seed=1, dtype=torch.bfloat16)
    for name, parameter in shallow.named_parameters():
        assert torch.equal(parameter, deep.get_parameter(name))
        assert torch.equal(parameter.to(torch.bfloat16), rounded.get_parameter(name))
