"""A request as the engine's thread knows it, its choices, and how much there may be at once."""

from collections import Counter
from dataclasses import dataclass, field

from cluster.contracts.errors import TuneryError
from cluster.contracts.generation import GenerationEvent, GenerationRequest, Sampling
from cluster.serving.adapter import Adapter
from cluster.serving.answer import ChoiceAnswer
from cluster.serving.guidance import Guide
from cluster.serving.prompts import ReadPrompt


@dataclass(frozen=True)
class Limits:
    """How much one engine does at once."""

    slots: int = 32
    """Choices that are decoded together; those of `kept_slots` are beside them."""
    max_waiting: int = 256
    """Choices of one tenant in the queue; a request that would make it longer is refused."""
    adapters: int = 32
    """Adapters in memory."""
    adapter_bytes: int | None = None
    """What they may take together; None is as much as they need."""
    wait_seconds: float = 60.0
    """That a request waits at most for others to make room in memory for its adapter."""
    prefill_tokens: int = 1024
    """Padded prompt tokens between two decodings: more fill the batch sooner, fewer keep streams even."""


@dataclass(eq=False)
class Job:
    """A request as the engine's thread knows it."""

    request: GenerationRequest
    prompt: ReadPrompt
    adapter: Adapter | None
    seed: int
    guide: Guide | None = None
    """Where all its choices begin in the grammar, if they have one."""
    open_choices: int = 0
    is_announced: bool = False
    """Its PromptEvent is out."""
    is_over: bool = False

    @property
    def sampling(self) -> Sampling:
        return self.request.sampling

    @property
    def must_score(self) -> bool:
        return not self.is_announced and self.sampling.echo and self.sampling.logprobs is not None


Output = tuple[Job, GenerationEvent | TuneryError | None]
"""What a job has to say: an event, or its last word, which is an error or None."""


@dataclass(eq=False)
class Choice:
    """One of a request's n completions."""

    job: Job
    index: int
    answer: ChoiceAnswer
    counts: Counter[int] = field(default_factory=Counter)
    """How often each token was generated."""
    last_token: int = 0

    @property
    def tenant(self) -> str:
        return self.job.request.tenant

    @property
    def is_over(self) -> bool:
        return self.answer.is_finished or self.job.is_over
