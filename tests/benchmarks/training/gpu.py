"""Compares our loop with TRL and packing on a GPU: a random Llama of 8 billion parameters, in bf16.

Measures LoRA and full fine-tuning of chats in real tokens per second, and the memory for sequences as long as
the context. Full fine-tuning gets as many layers as fit in the card's memory. Prints one line of JSON: our
speed divided by TRL's, our MFU, and the peak memory of both. Without a GPU this is a dry run, and its figures
mean nothing.

Needs torch, transformers, peft and pydantic. TRL is compared if it is installed.
"""

import argparse
import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path

import torch

from tests.benchmarks.training.chats import SKEWED, Lengths
from tests.benchmarks.training.children import measure_all, report
from tests.benchmarks.training.cpu import check_losses, describe, ratios
from tests.benchmarks.training.shapes import SHAPES, Shape, fit, make_base
from tests.benchmarks.training.table import table
from tests.benchmarks.training.task import Measurement, Task, Type

CHATS = Lengths(median=300, spread=0.9, shortest=32, longest=8192)
TRAINERS = ("ours", "trl_packed")
LONG_SEQUENCES = 4

_DRY_MEMORY = 8 << 30
_GIB = 1 << 30


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    memory = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else _DRY_MEMORY
    report(
        f"{torch.cuda.get_device_name(device)}" if device.type == "cuda" else "A dry run: there is no GPU."
    )
    types: list[Type] = [arguments.type] if arguments.type else ["lora", "full"]
    shape = SHAPES[arguments.shape or "llama-8b"]
    measured: dict[str, dict[str, Measurement]] = {}
    for type_ in types:
        fitting = fit(shape, memory_bytes=memory) if type_ == "full" else shape
        task = prepare(arguments, type_, fitting, folder / type_, device)
        long = long_task(task)
        for name, each in ((type_, task), (f"{type_}_{long.context}", long)):
            describe(each, fitting.parameters)
            measured[name] = measure_all(TRAINERS, each)
            report(table(measured[name], unit="s"))
            check_losses(measured[name])
        # The next base may need the disk space.
        shutil.rmtree(folder / type_)
    print(json.dumps(summary(measured)))


def prepare(
    arguments: argparse.Namespace, type_: Type, shape: Shape, folder: Path, device: torch.device
) -> Task:
    """Makes the base model in `folder` and returns the task."""
    is_tiny = arguments.shape == "tiny"
    context = 1024 if is_tiny else CHATS.longest
    make_base(folder, shape, context=context, dtype=torch.bfloat16, device=device)
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return Task(
        folder=str(folder),
        vocab=shape.vocab,
        context=context,
        type=type_,
        n_chats=arguments.chats or 1024,
        lengths=SKEWED if is_tiny else CHATS,
        batch_size=arguments.batch_size or 64,
        learning_rate=1e-4 if type_ == "lora" else 1e-5,
        threads=arguments.threads,
        is_gpu=True,
        is_compiled=arguments.compile,
        activation_checkpointing="none" if arguments.keep_activations else "full",
        trl_attention=arguments.trl_attention or best_attention(),
    )


def long_task(task: Task) -> Task:
    """A few sequences as long as the context, one per step."""
    lengths = Lengths(median=task.context, spread=0.0, shortest=task.context, longest=task.context)
    return replace(task, n_chats=LONG_SEQUENCES, batch_size=1, lengths=lengths)


def best_attention() -> str:
    """The fastest attention that is installed and keeps packed sequences apart."""
    has_flash = torch.cuda.is_available() and importlib.util.find_spec("flash_attn") is not None
    return "flash_attention_2" if has_flash else "sdpa"


def summary(measured: dict[str, dict[str, Measurement]]) -> dict[str, dict[str, object]]:
    return {
        "ratios": {
            f"{peer}_{name}": ratio
            for name, trainers in measured.items()
            for peer, ratio in ratios(trainers).items()
        },
        "mfu": {name: trainers["ours"].mfu for name, trainers in measured.items()},
        "tokens_per_second": {
            name: {trainer: round(each.tokens_per_second) for trainer, each in trainers.items()}
            for name, trainers in measured.items()
        },
        "peak_gib": {
            name: {trainer: round(each.peak_bytes / _GIB, 2) for trainer, each in trainers.items()}
            for name, trainers in measured.items()
        },
    }
