"""The comparison on a CPU."""

import argparse
import json
from pathlib import Path

import torch

from tests.benchmarks.training.children import NEEDS, measure_all, say
from tests.benchmarks.training.shapes import SHAPES, make_base
from tests.benchmarks.training.table import table
from tests.benchmarks.training.task import Measurement, Task

SAME_BATCHES = ("hf_trainer_padded", "trl_padded")
"""These see the chats in our order: their loss must be ours, step by step."""


def compare(asked: argparse.Namespace, folder: Path) -> None:
    shape = SHAPES[asked.shape or "small"]
    context = 1024
    make_base(folder, shape, context=context, dtype=torch.float32, device=torch.device("cpu"))
    task = Task(
        folder=str(folder),
        vocab=shape.vocab,
        context=context,
        type=asked.type or "lora",
        n_chats=asked.chats or 500,
        batch_size=asked.batch_size or 8,
        threads=asked.threads,
        is_compiled=asked.compile,
        trl_attention=asked.trl_attention or "sdpa",
    )
    describe(task, shape.parameters)
    measured = measure_all(list(NEEDS), task)
    say(table(measured, unit="CPU-s"))
    check_losses(measured)
    print(json.dumps({"ratios": ratios(measured)}))


def describe(task: Task, parameters: int) -> None:
    chats = task.chats()
    n_tokens = sum(len(chat.token_ids) for chat in chats)
    share = sum(chat.n_learned for chat in chats) / n_tokens
    say(
        f"{len(chats)} chats of {n_tokens / len(chats):.0f} tokens on average and "
        f"{max(len(chat.token_ids) for chat in chats)} at most, {share:.0%} of them learned; "
        f"{task.batch_size} a step; {task.type} on {parameters / 1e6:,.0f} M parameters; "
        f"{task.threads} thread(s)"
    )


def ratios(measured: dict[str, Measurement]) -> dict[str, float]:
    """Ours divided by each peer."""
    ours = measured["ours"].tokens_per_second
    return {
        name: round(ours / peer.tokens_per_second, 2) for name, peer in measured.items() if name != "ours"
    }


def check_losses(measured: dict[str, Measurement]) -> None:
    """Raises SystemExit if a trainer does other work than ours, which would make its speed meaningless."""
    ours = measured["ours"]
    for name, peer in measured.items():
        if name in SAME_BATCHES:
            pairs = zip(peer.losses, ours.losses, strict=True)
            apart, allowed = max(abs(theirs - mine) for theirs, mine in pairs), 1e-3
        else:
            # Other batches, and of a trainer that packs fewer of them, take another way down.
            apart, allowed = abs(peer.mean_loss - ours.mean_loss), 0.05 * ours.mean_loss
        if not apart <= allowed:
            raise SystemExit(f"The loss of {name} is {apart:.4f} apart from ours; allowed: {allowed:.4f}.")
