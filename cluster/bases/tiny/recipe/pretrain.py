"""Trains the tiny model: `python -m cluster.bases.tiny.recipe.pretrain --work DIR --minutes M`.

The schedule covers M minutes of training time. Training resumes from the checkpoint in DIR, which holds the
parameters, optimizer, generator state, data cursor and elapsed time. Data are generated during training; seed
and position in the schedule determine them.
"""

import argparse
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from cluster.bases.tiny.recipe import network
from cluster.bases.tiny.recipe.encoding import Batch, encode_chats, make_batches
from cluster.bases.tiny.recipe.network import TinyLlama, rotation
from cluster.bases.tiny.recipe.optimizer import Optimizer
from cluster.bases.tiny.recipe.tasks import OPENING_SHARE, pretraining_chats
from cluster.bases.tiny.recipe.tokenizer import save_tokenizer, train_tokenizer

POOL = 1500
"""Conversations that are drawn and sorted by length together."""


@dataclass
class Cursor:
    """The progress of training."""

    seconds: float = 0.0
    step: int = 0
    tokens: int = 0
    answer_tokens: int = 0
    pool: int = 0
    pool_progress: float = 0.0
    batch_in_pool: int = 0


def train(work: Path, minutes: float, batch_tokens: int, seed: int, compiles: bool) -> None:
    """Trains to the end of the schedule. Continues from the checkpoint in `work` if there is one."""
    tokenizer = _tokenizer(work, seed)
    torch.manual_seed(seed)
    model = TinyLlama()
    optimizer, cursor = Optimizer(model), Cursor()
    if (work / "checkpoint.pt").exists():
        cursor = _load(work, model, optimizer)
    if compiles:
        network.block_forward = torch.compile(network.block_forward, dynamic=True)
    total, losses, saved = minutes * 60, list[float](), cursor.seconds
    while cursor.seconds < total:
        for batch in _pool(cursor, tokenizer, batch_tokens, seed, cursor.seconds / total):
            started = time.perf_counter()
            losses.append(_step(model, optimizer, batch, rate_scale(cursor.seconds / total)))
            cursor.seconds += time.perf_counter() - started
            cursor.step += 1
            cursor.batch_in_pool += 1
            cursor.tokens += batch.tokens_bt.numel()
            cursor.answer_tokens += len(batch.targets_n)
            if len(losses) == 50:
                _log(work, cursor, sum(losses) / len(losses))
                losses.clear()
            if cursor.seconds - saved > 150 or cursor.seconds >= total:
                _save(work, model, optimizer, cursor)
                saved = cursor.seconds
            if cursor.seconds >= total:
                return
        cursor.pool += 1
        cursor.batch_in_pool = 0


def rate_scale(progress: float) -> float:
    """Learning-rate factor: a short warm-up, a plateau, then a linear decay to zero."""
    if progress < 0.01:
        return 0.05 + 95 * progress
    return min(1.0, (1 - progress) / 0.6)


def _step(model: TinyLlama, optimizer: Optimizer, batch: Batch, scale: float) -> float:
    logits_nv = model(batch.tokens_bt, batch.positions_n, rotation(batch.tokens_bt.shape[1]))
    loss = F.cross_entropy(logits_nv, batch.targets_n)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step(scale)
    return loss.item()


def _pool(cursor: Cursor, tokenizer: Tokenizer, batch_tokens: int, seed: int, progress: float) -> list[Batch]:
    """Returns the remaining batches of the cursor's pool.

    A pool's position in the curriculum is fixed when the pool is first drawn.
    """
    started = time.perf_counter()
    if cursor.batch_in_pool == 0:
        cursor.pool_progress = progress
    is_short = cursor.pool_progress < OPENING_SHARE
    pool_seed = seed * 1_000_000 + cursor.pool
    chats = pretraining_chats(POOL // 4 if is_short else POOL, pool_seed, cursor.pool_progress)
    batches = make_batches(encode_chats(chats, tokenizer), batch_tokens, random.Random(pool_seed))
    cursor.seconds += time.perf_counter() - started
    return batches[cursor.batch_in_pool :]


def _tokenizer(work: Path, seed: int) -> Tokenizer:
    path = work / "tokenizer" / "tokenizer.json"
    if not path.exists():
        save_tokenizer(train_tokenizer(seed), path.parent)
    return Tokenizer.from_file(str(path))


def _save(work: Path, model: TinyLlama, optimizer: Optimizer, cursor: Cursor) -> None:
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state(),
        "cursor": asdict(cursor),
        "random": torch.get_rng_state(),
    }
    torch.save(state, work / "checkpoint.tmp")
    (work / "checkpoint.tmp").replace(work / "checkpoint.pt")


def _load(work: Path, model: TinyLlama, optimizer: Optimizer) -> Cursor:
    state = torch.load(work / "checkpoint.pt")
    model.load_state_dict(state["model"])
    optimizer.load(state["optimizer"])
    torch.set_rng_state(state["random"])
    return Cursor(**state["cursor"])


def _log(work: Path, cursor: Cursor, loss: float) -> None:
    line = (
        f"minute {cursor.seconds / 60:.1f} step {cursor.step} tokens {cursor.tokens / 1e6:.2f}M "
        f"answers {cursor.answer_tokens / 1e6:.2f}M loss {loss:.3f}"
    )
    with (work / "log.txt").open("a") as log:
        print(line, file=log)
    print(line, flush=True)  # noqa: T201 - a command reports on standard output


def main() -> None:
    """Reads the command line and trains."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for tokenizer, checkpoint and log")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=75, help="training time of the whole schedule")
    parser.add_argument("--batch-tokens", type=int, default=3072, help="cells of one batch, padding included")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="compile the layer with torch.compile")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(arguments.threads)
    train(arguments.work, arguments.minutes, arguments.batch_tokens, arguments.seed, arguments.compile)


if __name__ == "__main__":
    main()
