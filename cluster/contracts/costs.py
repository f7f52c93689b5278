"""What a run took: the measurements from which the time of later runs is estimated."""

from cluster.contracts.frozen import FrozenModel


class RunCost(FrozenModel):
    """A run from its first step to its last, in one attempt, as its first worker measured it."""

    device: str
    """`cpu`, or the GPU's name."""
    steps: int
    trained_tokens: int
    """Over all epochs."""
    held_out_tokens: int
    """In the validation file or the split, which is scored after each epoch."""
    general_tokens: int
    """In the general set. Both models are scored on it, and on the held-out examples, at the end."""
    training_seconds: float
    """Seconds of training, including validation and checkpoints and, for DPO, the scores before the first
    step."""
    evaluation_seconds: float
    memory_bytes: int
    """Peak of the GPU, or the resident memory of the process."""
    forward_flops: float | None = None
    """FLOPs of the linear layers for each token. None if the model's shape is not understood."""


class JobCost(RunCost):
    """The same with what happens before and after, by the database's clock."""

    starting_seconds: float
    """Seconds from the claim of the attempt to its first step, without the scores of DPO."""
    publishing_seconds: float

    @property
    def seconds(self) -> float:
        return (
            self.starting_seconds + self.training_seconds + self.evaluation_seconds + self.publishing_seconds
        )
