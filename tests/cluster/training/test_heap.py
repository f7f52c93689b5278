"""Memory that torch frees goes back to the system."""

import subprocess
import sys

import pytest

# Blocks of 4 MiB, each freed while a later small block is in use: without the option they lie on the heap.
CHILD = """
import sys
from pathlib import Path
import torch
from cluster.training.heap import return_freed_memory

def held():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon:")).split()[1]) * 1024

if sys.argv[1] == "return":
    assert return_freed_memory()
torch.zeros(2 << 20)  # 8 MiB: glibc raises its limit to the largest block that was freed.
before = held()
blocks, small = [], []
for _ in range(32):
    blocks.append(torch.ones(1 << 20))
    small.append(torch.ones(1000))
del blocks
print(held() - before)
"""


@pytest.mark.slow
def test_freed_tensors_take_no_memory() -> None:
    kept = {
        way: int(
            subprocess.run([sys.executable, "-c", CHILD, way], check=True, stdout=subprocess.PIPE).stdout
        )
        for way in ("keep", "return")
    }
    assert kept["return"] < 8 << 20 < 64 << 20 < kept["keep"]
