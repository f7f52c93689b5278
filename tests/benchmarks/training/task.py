"""What every trainer is asked to do, and what is measured of it. Both cross processes as JSON."""

from dataclasses import dataclass, field
from typing import Literal

from tests.benchmarks.training.chats import SKEWED, Chat, Lengths, make_chats

Type = Literal["lora", "full"]


@dataclass(frozen=True, slots=True)
class Task:
    """One epoch over the same chats, from the same weights, with the same optimizer and rates."""

    folder: str
    """The base model, in transformers' format."""
    vocab: int
    context: int
    """Longest row of tokens."""
    type: Type = "lora"
    n_chats: int = 500
    lengths: Lengths = SKEWED
    batch_size: int = 8
    """Chats of an optimizer step; of a trainer that packs, on average."""
    learning_rate: float = 1e-3
    seed: int = 0
    threads: int = 1
    is_gpu: bool = False
    """Computes in bf16 on a GPU, if there is one, and is measured in seconds by the clock."""
    is_compiled: bool = False
    """Ours compiles the model's layers."""
    is_checkpointed: bool = False
    """Computes activations again in the backward pass."""
    trl_attention: str = "sdpa"
    """transformers' name of the attention that TRL packs with."""

    def chats(self) -> list[Chat]:
        return make_chats(self.n_chats, vocab=self.vocab, lengths=self.lengths, seed=self.seed)


@dataclass(frozen=True, slots=True)
class Measurement:
    """From the end of the first step to the end of the last."""

    trainer: str
    tokens: int
    """Real ones, without padding."""
    seconds: float
    """Of all this process's CPUs, user and system; by the clock for a task on a GPU."""
    loaded_bytes: int
    """In use before training: resident memory, or the GPU's."""
    peak_bytes: int
    """In use at most."""
    losses: list[float] = field(default_factory=list)
    """Each step's, nats per learned token."""
    mfu: float | None = None
    note: str = ""

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds

    @property
    def mean_loss(self) -> float:
        return sum(self.losses) / len(self.losses)
