"""The comparison on a GPU: a random Llama of 8 billion parameters beside TRL with packing, in bf16.

LoRA and full fine-tuning of chats, in real tokens a second, and the memory that sequences as long as the
context take. A full fine-tune gets as many layers as the card has memory for. Ends with one line of JSON:
ours divided by TRL, our MFU, and everybody's peak memory. Without a GPU it is a dry run, whose figures mean
nothing.

It runs where there are torch, transformers, peft and pydantic; TRL takes part if it is installed.
"""

import argparse
import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path

import torch

from tests.benchmarks.training.chats import SKEWED, Lengths
from tests.benchmarks.training.children import measure_all, say
from tests.benchmarks.training.cpu import check_losses, describe, ratios
from tests.benchmarks.training.shapes import SHAPES, Shape, fitted, make_base
from tests.benchmarks.training.table import table
from tests.benchmarks.training.task import Measurement, Task, Type

CHATS = Lengths(median=300, spread=0.9, shortest=32, longest=8192)
TRAINERS = ("ours", "trl_packed")
LONG_SEQUENCES = 4

_DRY_MEMORY = 8 << 30
_GIB = 1 << 30


def compare(asked: argparse.Namespace, folder: Path) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    memory = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else _DRY_MEMORY
    say(f"{torch.cuda.get_device_name(device)}" if device.type == "cuda" else "A dry run: there is no GPU.")
    types: list[Type] = [asked.type] if asked.type else ["lora", "full"]
    shape = SHAPES[asked.shape or "llama-8b"]
    found: dict[str, dict[str, Measurement]] = {}
    for type_ in types:
        fitting = fitted(shape, memory_bytes=memory) if type_ == "full" else shape
        task = prepared(asked, type_, fitting, folder / type_, device)
        long = long_task(task)
        for name, each in ((type_, task), (f"{type_}_{long.context}", long)):
            describe(each, fitting.parameters)
            found[name] = measure_all(TRAINERS, each)
            say(table(found[name], unit="s"))
            check_losses(found[name])
        # The next base may need the disk's room.
        shutil.rmtree(folder / type_)
    print(json.dumps(summary(found)))


def prepared(
    asked: argparse.Namespace, type_: Type, shape: Shape, folder: Path, device: torch.device
) -> Task:
    """The task, and its base in `folder`."""
    is_tiny = asked.shape == "tiny"
    context = 1024 if is_tiny else CHATS.longest
    make_base(folder, shape, context=context, dtype=torch.bfloat16, device=device)
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return Task(
        folder=str(folder),
        vocab=shape.vocab,
        context=context,
        type=type_,
        n_chats=asked.chats or 1024,
        lengths=SKEWED if is_tiny else CHATS,
        batch_size=asked.batch_size or 64,
        learning_rate=1e-4 if type_ == "lora" else 1e-5,
        threads=asked.threads,
        is_gpu=True,
        is_compiled=asked.compile,
        is_checkpointed=not asked.keep_activations,
        trl_attention=asked.trl_attention or best_attention(),
    )


def long_task(task: Task) -> Task:
    """A few sequences as long as the context, one a step."""
    lengths = Lengths(median=task.context, spread=0.0, shortest=task.context, longest=task.context)
    return replace(task, n_chats=LONG_SEQUENCES, batch_size=1, lengths=lengths)


def best_attention() -> str:
    """The fastest that keeps packed sequences apart and is installed."""
    has_flash = torch.cuda.is_available() and importlib.util.find_spec("flash_attn") is not None
    return "flash_attention_2" if has_flash else "sdpa"


def summary(found: dict[str, dict[str, Measurement]]) -> dict[str, dict[str, object]]:
    return {
        "ratios": {
            f"{peer}_{name}": ratio for name, of in found.items() for peer, ratio in ratios(of).items()
        },
        "mfu": {name: of["ours"].mfu for name, of in found.items()},
        "tokens_per_second": {
            name: {trainer: round(each.tokens_per_second) for trainer, each in of.items()}
            for name, of in found.items()
        },
        "peak_gib": {
            name: {trainer: round(each.peak_bytes / _GIB, 2) for trainer, each in of.items()}
            for name, of in found.items()
        },
    }
