"""Steps of models with 8 and 70 billion parameters on a GPU, without one: `python -m
tests.cluster.training.fake_steps 8b 70b`.

Tensors have a device and a shape but no contents. An operation on tensors of two devices fails as it would on
a real GPU. Builds of torch for CPUs know no CUDA streams, which the backward pass asks for; there, the GPU is
a device of torch's for Python backends. It stays registered, so this is a process of its own.

The models have four layers, which repeat, or with `--whole` all of them, which takes minutes. Prints each
case that succeeds, and how training keeps activations.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)
from transformers import AutoModelForCausalLM, LlamaConfig

from cluster.contracts.bases import BaseSpec, FolderSource
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.training.data.batches import Batcher
from cluster.training.data.dataset import Dataset
from cluster.training.loop.objectives import LanguageObjective, PreferenceObjective
from cluster.training.loop.optimizer import make_optimizer, moments, restore_moments
from cluster.training.model import attention
from cluster.training.model.adapters import attach
from cluster.training.model.head import Head
from cluster.training.model.trainee import (
    resolve_activation_checkpointing,
    save_memory,
    trainable_parameters,
)
from tests.cluster.serving.embedded.fake_serving import serve

if torch.cuda._is_compiled():
    GPU = torch.device("cuda", 0)
else:

    class _Module(_DummyBackendModule):  # type: ignore[misc]
        def get_amp_supported_dtype(self) -> list[torch.dtype]:
            return [torch.bfloat16]

    _setup_privateuseone_for_python_backend("fakegpu", backend_module=_Module())
    GPU = torch.device("fakegpu", 0)
SHAPES = {
    "8b": {"hidden_size": 4096, "intermediate_size": 14336, "layers": 32, "heads": 32},
    "70b": {"hidden_size": 8192, "intermediate_size": 28672, "layers": 80, "heads": 64},
}
"""Llama 3's."""
LENGTHS = [700, 1500, 300, 900]


def base_of(shape: str) -> BaseSpec:
    return BaseSpec(
        alias=shape,
        source=FolderSource(path="/nowhere"),
        context_length=8192,
        learning_rates={"lora": 1e-4, "full": 1e-5},
        dtype="bfloat16",
    )


def model_of(shape: str, dtype: torch.dtype) -> Any:
    sizes = dict(SHAPES[shape])
    heads, layers = sizes.pop("heads"), sizes.pop("layers")
    config = LlamaConfig(
        vocab_size=128_256,
        num_hidden_layers=layers if "--whole" in sys.argv else 4,
        num_attention_heads=heads,
        num_key_value_heads=8,
        use_cache=False,
        **sizes,
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    attention.register()
    model.set_attn_implementation(attention.IMPLEMENTATION)
    return model


class _WithoutNumbers(TorchFunctionMode):
    """Tensors of given numbers, and lists that index tensors, lose the numbers: on a backend in Python, they
    cannot be faked."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and (device := kwargs.pop("device", None)) is not None:
            made = func(*args, **kwargs)
            return torch.empty(made.shape, dtype=made.dtype, device=device)
        if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__):
            args = (args[0], _index(args[1], args[0].device), *args[2:])
        return func(*args, **kwargs)


def _index(place: Any, device: torch.device) -> Any:
    if isinstance(place, tuple):
        return tuple(_index(each, device) for each in place)
    return torch.empty(len(place), dtype=torch.int64, device=device) if isinstance(place, list) else place


def put_on_gpu(model: torch.nn.Module) -> None:
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            placed = torch.empty(parameter.shape, dtype=parameter.dtype, device=GPU)
            setattr(module, name, torch.nn.Parameter(placed, parameter.requires_grad))
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, torch.empty(buffer.shape, dtype=buffer.dtype, device=GPU))


def dataset(*, is_paired: bool) -> Dataset:
    total = sum(LENGTHS)
    return Dataset(
        format="preference" if is_paired else "chat",
        token_ids=np.arange(total, dtype=np.int32) % 128_000,
        mask=np.arange(total) % 3 == 0,
        offsets=np.cumsum([0, *LENGTHS]),
        lines=np.arange(len(LENGTHS) // (2 if is_paired else 1), dtype=np.int32),
        truncated_lines=[],
        dropped_lines=[],
    )


CASES = [
    ("8b", "lora", "supervised"),
    ("8b", "full", "supervised"),
    ("8b", "lora", "dpo"),
    ("70b", "lora", "supervised"),
    ("70b", "full", "dpo"),
]


def main(shapes: list[str]) -> None:
    for shape, type_, method in (case for case in CASES if case[0] in shapes):
        config, base = config_of(type_, method), base_of(shape)
        model = model_of(shape, torch.float32 if type_ == "full" else torch.bfloat16)
        if type_ == "lora":
            model = attach(model, base, config, total_steps=10)
        checkpointing = resolve_activation_checkpointing(model, config, torch.device("cuda"))
        save_memory(model, checkpointing.mode, GPU)
        with FakeTensorMode(allow_non_fake_inputs=True):
            put_on_gpu(model)
            train(model, config)
        print(shape, type_, method, checkpointing.mode, flush=True)
    for shape in shapes:
        model = model_of(shape, torch.bfloat16)
        model.set_attn_implementation("sdpa")
        with FakeTensorMode(allow_non_fake_inputs=True):
            put_on_gpu(model)
            with _WithoutNumbers():
                serve(model, GPU)
        print(shape, "served", flush=True)


def config_of(type_: Literal["lora", "full"], method: Literal["supervised", "dpo"]) -> TrainingConfig:
    return TrainingConfig(
        method=method,
        type=type_,
        r=16,
        alpha=32.0,
        dropout=0.0,
        target_modules="all-linear",
        on_overlength="error",
        num_workers=1,
        n_epochs=1,
        batch_size=4,
        learning_rate=1e-4,
        beta=0.1,
        max_length=8192,
        seed=1,
    )


def train(model: Any, config: TrainingConfig) -> None:
    """A step, an optimizer restored from it, and another step."""
    is_paired = config.method == "dpo"
    objective = (
        PreferenceObjective(model, Head(), beta=0.1) if is_paired else LanguageObjective(model, Head())
    )
    objective.model.train()
    batcher = Batcher(dataset(is_paired=is_paired), microbatch_tokens=4096)
    learned = trainable_parameters(model)
    optimizer = make_optimizer(learned, config)
    step(objective, batcher, optimizer)

    again = make_optimizer(learned, config)
    restore_moments(learned, again, moments(learned, optimizer), step=1)
    assert {value.device.type for state in again.state.values() for value in state.values()} == {GPU.type}
    step(objective, batcher, again)


@contextmanager
def autocast() -> Iterator[None]:
    """torch.autocast turns itself off where there is no GPU. Backends in Python have none: there, the passes
    compute in the type of the weights."""
    if GPU.type != "cuda":
        yield
        return
    torch.set_autocast_dtype(GPU.type, torch.bfloat16)
    torch.set_autocast_enabled(GPU.type, True)
    try:
        yield
    finally:
        torch.set_autocast_enabled(GPU.type, False)
        torch.clear_autocast_cache()


def step(objective: Any, batcher: Batcher, optimizer: torch.optim.Optimizer) -> None:
    examples = batcher.all_examples()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    totals = torch.zeros(3, dtype=torch.float64, device=GPU)
    for microbatch in batcher.microbatches(examples):
        with autocast():
            sums = objective(microbatch.to(GPU))
        torch.autograd.backward(sums.loss / batcher.n_units(examples))
        totals += torch.stack([sums.loss.detach(), sums.correct, sums.margin]).double()
    assert all(p.grad is not None and p.grad.device.type == GPU.type for p in parameters)
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


if __name__ == "__main__":
    main([shape for shape in SHAPES if shape in sys.argv])
