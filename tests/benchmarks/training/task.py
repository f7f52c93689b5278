"""The task of every trainer and the measurement of it. Both are sent between processes as JSON."""

from dataclasses import dataclass, field
from typing import Literal

from cluster.contracts.plan import ActivationCheckpointing
from tests.benchmarks.training.chats import SKEWED, Chat, Lengths, make_chats

Type = Literal["lora", "full"]


@dataclass(frozen=True, slots=True)
class Task:
    """One epoch over the same chats, from the same weights, with the same optimizer and rates."""

    folder: str
    """The base model, in transformers' format."""
    vocab: int
    context: int
    """Tokens of the longest row."""
    type: Type = "lora"
    n_chats: int = 500
    lengths: Lengths = SKEWED
    batch_size: int = 8
    """Chats per optimizer step; an average if the trainer packs."""
    learning_rate: float = 1e-3
    seed: int = 0
    threads: int = 1
    is_gpu: bool = False
    """Compute in bf16, on a GPU if there is one, and measure wall-clock seconds."""
    is_compiled: bool = False
    """Compile the model's layers in our loop."""
    activation_checkpointing: ActivationCheckpointing = "none"
    """What the backward pass needs is kept, computed again, or kept in the host's memory."""
    trl_attention: str = "sdpa"
    """The attention, by transformers' name, that TRL uses with packing."""

    def chats(self) -> list[Chat]:
        return make_chats(self.n_chats, vocab=self.vocab, lengths=self.lengths, seed=self.seed)


@dataclass(frozen=True, slots=True)
class Measurement:
    """From the end of the first step to the end of the last."""

    trainer: str
    tokens: int
    """Real tokens, without padding."""
    seconds: float
    """CPU-seconds of the whole process, user and system; wall-clock seconds for a task on a GPU."""
    loaded_bytes: int
    """Memory in use before training: resident memory or GPU memory."""
    peak_bytes: int
    """Peak memory."""
    losses: list[float] = field(default_factory=list)
    """Loss of each step, in nats per learned token."""
    mfu: float | None = None
    note: str = ""

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds

    @property
    def mean_loss(self) -> float:
        return sum(self.losses) / len(self.losses)
