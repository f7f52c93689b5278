"""A request as the engine's thread knows it, and its choices."""

from collections import Counter
from dataclasses import dataclass, field

from cluster.contracts.errors import TuneryError
from cluster.contracts.generation import GenerationEvent, GenerationRequest, Sampling
from cluster.serving.text.answer import ChoiceAnswer
from cluster.serving.text.guidance import Guide
from cluster.serving.text.prompts import ReadPrompt
from cluster.serving.weights.adapter import Adapter


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
