"""Measure the memory of sharded training: `python -m tests.benchmarks.sharding`.

Trains random Llamas in several processes on gloo, each in full and with LoRA, and watches every worker's
anonymous memory: what it holds for itself, without pages of files. Prints one line of JSON on stdout. The
exit status is 0 if

- all workers together held at most 1.25 times 16 bytes per parameter for full fine-tuning, or 2 for LoRA on a
  base in bf16, and 0.8 GB per worker for Python and its libraries,
- while loading, no worker held more than a part of the model, and neither did scoring it add more, and
- the losses are finite.

With 16 bytes, weights, gradients and both moments are in fp32. Activations come on top, and are not allowed
for: the passes are short.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.training.chats import Lengths
from tests.benchmarks.training.shapes import Shape, make_base
from tests.benchmarks.training.task import Task, Type

ROOT = Path(__file__).parents[3]
SHAPES = {
    "0.7b": Shape(hidden=1536, layers=18, intermediate=6144, heads=12, key_heads=12, vocab=16_000),
    "1.3b": Shape(hidden=2048, layers=25, intermediate=5632, heads=16, key_heads=16, vocab=16_000),
    "small": Shape(hidden=512, layers=12, intermediate=2048, heads=8, key_heads=8, vocab=4_000),
}
CASES: dict[Type, str] = {"full": "0.7b", "lora": "1.3b"}
BYTES = {"full": 16, "lora": 2}
"""Of a parameter, over all workers."""
SPARE_PER_WORKER = 800_000_000
LIMIT_SECONDS = 3600
CHAT = 64
"""Tokens of each chat; every worker gets one a step."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Anonymous memory in bytes, by worker."""

    parameters: int
    losses: list[float]
    started: list[int]
    """After imports, before loading."""
    loading: list[int]
    """The most that loading and sharding added."""
    peaks: list[int]
    """The most in the whole run."""
    evaluating: list[int]
    """The most that scoring the model, before and after training, added."""

    def is_good(self, type_: str) -> bool:
        workers = len(self.peaks)
        allowed = 1.25 * BYTES[type_] * self.parameters + SPARE_PER_WORKER * workers
        loaded = 4 * self.parameters if type_ == "full" else 2 * self.parameters
        # A worker's part, the largest weight as it is read, and what imports leave behind.
        part = 1.5 * loaded / workers + 100_000_000
        return (
            sum(self.peaks) <= allowed
            and max(self.loading) <= part
            and max(self.evaluating) <= part
            and all(math.isfinite(loss) for loss in self.losses)
        )


def main() -> None:
    arguments = _arguments()
    found: dict[str, Any] = {}
    is_good = True
    for type_ in arguments.types:
        shape = SHAPES[arguments.shape or CASES[type_]]
        with tempfile.TemporaryDirectory(prefix="bench-sharding-") as name:
            measured = measure(type_, shape, Path(name), arguments)
        is_good &= measured.is_good(type_)
        allowed = 1.25 * BYTES[type_] * measured.parameters + SPARE_PER_WORKER * arguments.workers
        found[type_] = asdict(measured) | {
            "total_gb": round(sum(measured.peaks) / 1e9, 2),
            "allowed_gb": round(allowed / 1e9, 2),
            "bytes_per_parameter": round(sum(measured.peaks) / measured.parameters, 2),
        }
        print(json.dumps({type_: found[type_]}), file=sys.stderr, flush=True)
    print(json.dumps(found))
    sys.exit(not is_good)


def measure(type_: Type, shape: Shape, folder: Path, arguments: argparse.Namespace) -> Measured:
    # As bases usually are: a full fine-tune makes fp32 of it.
    make_base(folder, shape, context=CHAT, dtype=torch.bfloat16, device=torch.device("cpu"))
    task = Task(
        folder=str(folder),
        vocab=shape.vocab,
        context=CHAT,
        type=type_,
        lengths=Lengths(median=CHAT, spread=0.0, shortest=CHAT, longest=CHAT),
        n_chats=arguments.steps * arguments.workers,
        batch_size=arguments.workers,
        # Only for its type: the workers compute on CPUs.
        is_gpu=type_ == "lora",
    )
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "LOCAL_WORLD_SIZE": str(arguments.workers // arguments.nodes),
        "TUNERY_CACHE_DIR": str(folder / "cache"),
    }
    worker = [sys.executable, "-m", "tests.benchmarks.sharding.worker", json.dumps(asdict(task))]
    parallelism = "fsdp" if arguments.nodes == 1 else "hsdp"
    processes = [
        subprocess.Popen(
            [*worker, parallelism, str(rank), str(arguments.workers), str(folder / "meeting")],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(arguments.workers)
    ]
    said = [process.communicate(timeout=LIMIT_SECONDS)[0] for process in processes]
    if any(process.returncode for process in processes):
        sys.exit("A worker failed; its error is above.")
    workers = [json.loads(each.splitlines()[-1]) for each in said]
    return Measured(
        parameters=workers[0]["parameters"],
        losses=workers[0]["losses"],
        started=[each["started"] for each in workers],
        loading=[each["loading"] for each in workers],
        peaks=[each["peak"] for each in workers],
        evaluating=[each["evaluating"] for each in workers],
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.sharding", description=__doc__)
    parser.add_argument("--types", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--shape", choices=SHAPES, help="default: 0.7b for full fine-tuning, 1.3b for LoRA")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--nodes", type=int, default=1, help="more than one: each holds a copy (HSDP)")
    parser.add_argument("--steps", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
