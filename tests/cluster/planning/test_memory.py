"""The plan's memory is that of whole training steps, counted without computing them.

Tensors are fake: they have shapes and lifetimes, and no memory of their own."""

import json
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoModelForCausalLM, FalconH1Config, LlamaConfig, PreTrainedConfig, Qwen3MoeConfig

from cluster.contracts.bases import BaseSpec, BuiltinSource
from cluster.contracts.devices import Pool
from cluster.contracts.hyperparameters import Hyperparameters, TrainingConfig, TrainingOptions, resolve
from cluster.planning.memory import Lengths, Way, footprint
from cluster.planning.planner import task_of
from cluster.planning.shapes import shape_of
from cluster.training.data.batches import Microbatch
from cluster.training.loop.objectives import LanguageObjective, PreferenceObjective
from cluster.training.loop.optimizer import make_optimizer
from cluster.training.model import attention
from cluster.training.model.adapters import attach
from cluster.training.model.attention import Segments
from cluster.training.model.head import Head
from cluster.training.model.trainee import autocast, save_memory, trainable_parameters
from tests.tiers import sampled

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
SIZES = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 6,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "vocab_size": 32000,
    "tie_word_embeddings": False,
}

SIZES_OF_HEAD = {**SIZES, "vocab_size": 8192}

RECURRENT = {
    **SIZES,
    # Its layers are computed in many small operations.
    "num_hidden_layers": 3,
    "head_dim": 64,
    "mamba_d_ssm": 2048,
    "mamba_n_heads": 32,
    "mamba_d_head": 64,
    "mamba_d_state": 128,
}
"""Of a model with a state-space layer beside the attention of each block."""

EXPERTS = {
    **SIZES,
    "head_dim": 64,
    "num_experts": 64,
    "num_experts_per_tok": 4,
    "moe_intermediate_size": 512,
}
"""Of a model with experts in each block, most of its weights."""

KINDS: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**SIZES),
    "falcon_h1": FalconH1Config(**RECURRENT),
    "qwen3_moe": Qwen3MoeConfig(**EXPERTS),
}


class Live(TorchDispatchMode):
    """Counts the bytes of all storages that are alive."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._seen:
            return
        self._seen.add(storage)
        size = storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._subtract, size)

    def _subtract(self, size: int) -> None:
        self.now -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for each in tree_leaves(found):
            if isinstance(each, Tensor):
                self.add(each)
        return found


def base_of(dtype: str) -> BaseSpec:
    return BaseSpec(
        alias="base",
        source=BuiltinSource(name="tiny"),
        context_length=131072,
        learning_rates={"lora": 1e-4, "full": 1e-5},
        dtype=dtype,  # type: ignore[arg-type]
    )


def fake_model(base: BaseSpec, config: TrainingConfig, kind: PreTrainedConfig) -> Any:
    dtype = torch.float32 if config.type == "full" else getattr(torch, base.dtype)
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(kind, dtype=dtype)
        if kind.model_type == "llama":
            model.set_attn_implementation(attention.IMPLEMENTATION)
        model.config.use_cache = False
        if config.type != "full":
            model = attach(model, base, config, total_steps=10)
    for module in model.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                value = torch.empty(weight.shape, dtype=weight.dtype)
                module._parameters[name] = nn.Parameter(value, requires_grad=weight.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)
    save_memory(model, config.activation_checkpointing, CPU)
    return model.train()


def fake_batch(tokens: int, sequences: int, *, is_packed: bool) -> Microbatch:
    zeros = torch.zeros(1, tokens, dtype=torch.int64)
    learned = torch.zeros(tokens, dtype=torch.int64)
    segments = Segments([tokens // sequences] * sequences, torch.zeros(sequences + 1, dtype=torch.int32))
    return Microbatch(
        token_ids=zeros,
        position_ids=zeros,
        positions=learned,
        targets=learned,
        owners=learned,
        sequences=torch.zeros(sequences, dtype=torch.int64),
        segments=segments if is_packed else None,
    )


def peak_bytes(base: BaseSpec, config: TrainingConfig, tokens: int, kind: PreTrainedConfig) -> int:
    """Of two steps of two passes each."""
    attention.register()
    with FakeTensorMode(), Live() as live:
        model = fake_model(base, config, kind)
        objective: Any = LanguageObjective(model, Head())
        if config.method == "dpo":
            objective = PreferenceObjective(model, Head(), beta=0.1)
        optimizer = make_optimizer(trainable_parameters(model), config)
        for _ in range(2):
            for _ in range(2):
                sequences = 2 if config.method == "dpo" else 1
                batch = fake_batch(tokens, sequences, is_packed=kind.model_type == "llama")
                with autocast(base, CPU):
                    sums = objective(batch)
                torch.autograd.backward(sums.loss)
                del sums, batch
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return live.peak


@pytest.mark.parametrize(
    ("options", "dtype", "tokens"),
    sampled(
        [
            ({}, "bfloat16", 2048),
            ({}, "float32", 1024),
            ({"activation_checkpointing": "full"}, "bfloat16", 4096),
            ({"type": "full"}, "bfloat16", 2048),
            ({"type": "full", "activation_checkpointing": "full"}, "float32", 2048),
            ({"method": "dpo"}, "bfloat16", 2048),
            ({"model": "falcon_h1"}, "bfloat16", 512),
            ({"model": "qwen3_moe"}, "bfloat16", 512),
            ({"model": "qwen3_moe", "activation_checkpointing": "full"}, "bfloat16", 4096),
            ({"model": "qwen3_moe", "target_modules": ["q_proj", "v_proj"]}, "bfloat16", 2048),
        ],
        [
            ({}, "bfloat16", 2048),
            ({"type": "full", "activation_checkpointing": "full"}, "float32", 2048),
            ({"model": "qwen3_moe"}, "bfloat16", 512),
        ],
    ),
    ids=str,
)
def test_a_step_holds_what_the_plan_says(options: dict[str, Any], dtype: str, tokens: int) -> None:
    kind = KINDS[options.get("model", "llama")]
    base, method = base_of(dtype), options.get("method", "supervised")
    training = TrainingOptions.model_validate(
        {name: value for name, value in options.items() if name not in ("method", "model")}
    )
    mode = training.activation_checkpointing
    checkpointing = "none" if mode == "auto" else mode
    _, config = resolve(Hyperparameters(), training, base, n_examples=100, seed=0, method=method)
    config = config.model_copy(update={"activation_checkpointing": checkpointing})
    shape = shape_of(json.loads(kind.to_json_string()))
    assert shape is not None
    task = task_of(shape, base, training, method, Lengths(tokens, tokens))
    pool = Pool.model_validate({"kind": "cuda", "devices": 1, "device_bytes": "1TB"})
    planned = footprint(task, Way(1, "single", checkpointing, tokens), pool).device
    found = peak_bytes(base, config, tokens, kind)
    assert found == pytest.approx(planned.total - planned.runtime, rel=0.2)


class OnlyHead(nn.Module):
    """A model that is all head, and learns one vector for each token and for each of eight before them."""

    def __init__(self, tokens: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.head = nn.Linear(8, SIZES_OF_HEAD["vocab_size"], bias=False, dtype=dtype).requires_grad_(False)
        self.hidden = nn.Parameter(torch.zeros(1, 8 + tokens, 8, dtype=dtype))

    def forward(self, input_ids: Tensor, *, use_cache: bool) -> SimpleNamespace:
        return SimpleNamespace(logits=self.head(self.hidden))


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_methods_that_put_tokens_first_hold_all_logits_as_the_plan_says(dtype: str) -> None:
    tokens = 256
    model = OnlyHead(tokens, getattr(torch, dtype))
    objective = LanguageObjective(model, Head(is_apart=False))
    with Live() as live:
        torch.autograd.backward(objective(fake_batch(tokens, 1, is_packed=False)).loss)
    shape = shape_of(json.loads(LlamaConfig(**SIZES_OF_HEAD).to_json_string()))
    assert shape is not None
    options = TrainingOptions(
        type="peft", peft_config={"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 8}
    )
    task = task_of(shape, base_of(dtype), options, "supervised", Lengths(tokens, tokens))
    pool = Pool.model_validate({"kind": "cuda", "devices": 1, "device_bytes": "1TB"})
    planned = footprint(task, Way(1, "single", "none", tokens), pool).device
    assert live.peak == pytest.approx(planned.head, rel=0.1)
