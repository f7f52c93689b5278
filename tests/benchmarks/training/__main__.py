"""Training speed beside HF Trainer and TRL: `python -m tests.benchmarks.training`.

On a CPU: real (unpadded) tokens per CPU-second over one epoch of chats of skewed lengths, fp32, each trainer
on the same tokens, labels, weights, optimizer and threads. Ends with one line of JSON on stdout: ours divided
by each peer. On a GPU (`--gpu`; by itself if there is one): see `gpu`.
"""

import argparse
import tempfile
from pathlib import Path

import torch

from tests.benchmarks.training import cpu, gpu
from tests.benchmarks.training.shapes import SHAPES


def main() -> None:
    asked = _arguments()
    with tempfile.TemporaryDirectory(prefix="bench-training-") as name:
        if asked.gpu or (torch.cuda.is_available() and not asked.cpu):
            gpu.compare(asked, Path(name))
        else:
            cpu.compare(asked, Path(name))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.training", description=__doc__)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--cpu", action="store_true", help="the comparison on a CPU, though there is a GPU")
    where.add_argument("--gpu", action="store_true", help="the comparison on a GPU; a dry run without one")
    parser.add_argument("--type", choices=["lora", "full"], help="default: lora; on a GPU, both")
    parser.add_argument("--shape", choices=SHAPES, help="default: small; on a GPU, llama-8b")
    parser.add_argument("--chats", type=int, help="default: 500; on a GPU, 1024")
    parser.add_argument("--batch-size", type=int, help="chats a step; default: 8; on a GPU, 64")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="ours compiles the model's layers")
    parser.add_argument(
        "--keep-activations",
        action="store_true",
        help="on a GPU: none is computed again; faster, more memory",
    )
    parser.add_argument("--trl-attention", help="default: FlashAttention if it is installed, else sdpa")
    return parser.parse_args()


if __name__ == "__main__":
    main()
