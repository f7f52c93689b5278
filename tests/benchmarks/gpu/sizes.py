"""How large the models and passes are, on a GPU and in a rehearsal."""

import gc
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from cluster.contracts.bases import BaseSpec, FolderSource
from tests.benchmarks.training.chats import Lengths
from tests.benchmarks.training.shapes import SHAPES, Shape, make_base

GB = 1e9


@dataclass(frozen=True, slots=True)
class Sizes:
    little: Shape
    """Its states are stored."""
    middle: Shape
    """Trained in several ways, one after another."""
    large: Shape
    context: int
    """Tokens of the longest chat, and of a pass."""
    long: int
    """Tokens of one long example."""
    chats: Lengths
    segments: tuple[int, ...]
    """Tokens of the examples that share a row of attention."""
    heads: tuple[int, int]
    """Of queries, and of keys and values."""
    widths: tuple[int, ...]
    """Of heads."""
    window: int
    head: tuple[int, int, int]
    """Rows, width and vocabulary of the output layer."""
    answer_tokens: int


LARGE = Sizes(
    little=SHAPES["small"],
    middle=Shape(hidden=2048, layers=20, intermediate=5632, heads=32, key_heads=4, vocab=32_000),
    large=SHAPES["llama-8b"],
    context=8192,
    long=32_768,
    chats=Lengths(median=300, spread=0.9, shortest=32, longest=8192),
    segments=(2048, 700, 1801, 3000, 643),
    heads=(32, 8),
    widths=(64, 128, 256),
    window=1024,
    head=(8192, 4096, 128_256),
    answer_tokens=64,
)
SMALL = Sizes(
    little=SHAPES["tiny"],
    middle=SHAPES["tiny"],
    large=SHAPES["tiny"],
    context=128,
    long=256,
    chats=Lengths(median=30, spread=0.5, shortest=8, longest=128),
    segments=(40, 7, 33),
    heads=(4, 2),
    widths=(16,),
    window=8,
    head=(700, 32, 352),
    answer_tokens=4,
)


@dataclass(frozen=True, slots=True)
class Setting:
    sizes: Sizes
    device: torch.device
    work: Path
    """A folder that all parts share."""

    def base(self, name: str) -> BaseSpec:
        """The catalogue entry of the model `little`, `middle` or `large`, which is made when it is first
        needed."""
        shape: Shape = getattr(self.sizes, name)
        folder, draft = self.work / name, self.work / f"{name}.draft"
        if not folder.exists():
            make_base(draft, shape, context=self.sizes.long, dtype=torch.bfloat16, device=self.device)
            draft.rename(folder)
            self.forget_peak()
        return BaseSpec(
            alias=name,
            source=FolderSource(path=str(folder)),
            context_length=self.sizes.long,
            learning_rates={"lora": 1e-4, "full": 1e-5},
            dtype="bfloat16",
        )

    def forget_peak(self) -> None:
        """Frees what is unused, and counts the peak of the GPU's memory from here."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def peak_bytes(self) -> int:
        """0 without a GPU."""
        return torch.cuda.max_memory_allocated() if self.device.type == "cuda" else 0


@dataclass(frozen=True, slots=True)
class Finding:
    case: str
    is_good: bool
    figures: dict[str, object] = field(default_factory=dict)


Findings = Iterator[Finding]


def rounded(value: float) -> float:
    """To three digits."""
    return float(f"{value:.3g}")
