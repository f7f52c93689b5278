"""Compare training speed with HF Trainer and TRL: `python -m tests.benchmarks.training`.

On a CPU: measures real (unpadded) tokens per CPU-second in one epoch over chats of skewed lengths, in fp32.
All trainers get the same tokens, labels, weights, optimizer and threads. Prints one line of JSON on stdout:
our speed divided by each peer's. On a GPU (`--gpu`, or by default if there is one): see `gpu`.
"""

import argparse
import tempfile
from pathlib import Path

import torch

from tests.benchmarks.training import cpu, gpu
from tests.benchmarks.training.shapes import SHAPES


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="bench-training-") as name:
        if arguments.gpu or (torch.cuda.is_available() and not arguments.cpu):
            gpu.compare(arguments, Path(name))
        else:
            cpu.compare(arguments, Path(name))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.training", description=__doc__)
    device = parser.add_mutually_exclusive_group()
    device.add_argument("--cpu", action="store_true", help="compare on a CPU even if there is a GPU")
    device.add_argument("--gpu", action="store_true", help="compare on a GPU; a dry run without one")
    parser.add_argument("--type", choices=["lora", "full"], help="default: lora; on a GPU, both")
    parser.add_argument("--shape", choices=SHAPES, help="default: small; on a GPU, llama-8b")
    parser.add_argument("--chats", type=int, help="default: 500; on a GPU, 1024")
    parser.add_argument("--batch-size", type=int, help="chats per step; default: 8; on a GPU, 64")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="compile the model's layers in our loop")
    parser.add_argument(
        "--keep-activations",
        action="store_true",
        help="on a GPU: recompute no activations; faster, more memory",
    )
    parser.add_argument("--trl-attention", help="default: FlashAttention if it is installed, else sdpa")
    return parser.parse_args()


if __name__ == "__main__":
    main()
