"""Compares the trainers on a CPU."""

import argparse
import json
from pathlib import Path

import torch

from tests.benchmarks.training.children import NEEDS, measure_all, report
from tests.benchmarks.training.shapes import SHAPES, make_base
from tests.benchmarks.training.table import table
from tests.benchmarks.training.task import Measurement, Task

SAME_BATCHES = ("hf_trainer_padded", "trl_padded")
"""These train on the chats in our order, so their loss must equal ours at every step."""


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    shape = SHAPES[arguments.shape or "small"]
    context = 1024
    make_base(folder, shape, context=context, dtype=torch.float32, device=torch.device("cpu"))
    task = Task(
        folder=str(folder),
        vocab=shape.vocab,
        context=context,
        type=arguments.type or "lora",
        n_chats=arguments.chats or 500,
        batch_size=arguments.batch_size or 8,
        threads=arguments.threads,
        is_compiled=arguments.compile,
        trl_attention=arguments.trl_attention or "sdpa",
    )
    describe(task, shape.parameters)
    measured = measure_all(list(NEEDS), task)
    report(table(measured, unit="CPU-s"))
    check_losses(measured)
    print(json.dumps({"ratios": ratios(measured)}))


def describe(task: Task, parameters: int) -> None:
    chats = task.chats()
    n_tokens = sum(len(chat.token_ids) for chat in chats)
    share = sum(chat.n_learned for chat in chats) / n_tokens
    report(
        f"{len(chats)} chats of {n_tokens / len(chats):.0f} tokens on average and "
        f"{max(len(chat.token_ids) for chat in chats)} at most, {share:.0%} of them learned; "
        f"{task.batch_size} per step; {task.type} on {parameters / 1e6:,.0f} M parameters; "
        f"{task.threads} thread(s)"
    )


def ratios(measured: dict[str, Measurement]) -> dict[str, float]:
    """Our speed divided by each peer's."""
    ours = measured["ours"].tokens_per_second
    return {
        name: round(ours / peer.tokens_per_second, 2) for name, peer in measured.items() if name != "ours"
    }


def check_losses(measured: dict[str, Measurement]) -> None:
    """Raises SystemExit if a trainer's losses differ from ours; its speed would mean nothing then."""
    ours = measured["ours"]
    for name, peer in measured.items():
        if name in SAME_BATCHES:
            pairs = zip(peer.losses, ours.losses, strict=True)
            difference, allowed = max(abs(theirs - mine) for theirs, mine in pairs), 1e-3
        else:
            # With other batches, and fewer of them if they are packed, the loss takes another path.
            difference, allowed = abs(peer.mean_loss - ours.mean_loss), 0.05 * ours.mean_loss
        if not difference <= allowed:
            raise SystemExit(
                f"The loss of {name} differs from ours by {difference:.4f}; allowed: {allowed:.4f}."
            )
