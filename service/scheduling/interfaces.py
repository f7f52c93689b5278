"""What the scheduler needs of the cluster. `ray_jobs.py` and `serving.py` speak HTTP; tests use fakes."""

from collections.abc import Sequence
from typing import Literal, Protocol

from cluster.contracts.datasets import DatasetCheck, DatasetCheckRequest
from cluster.contracts.generation import FinishReason, ModelRef

RayStatus = Literal["pending", "running", "succeeded", "failed", "stopped", "absent"]
GONE: frozenset[RayStatus] = frozenset({"succeeded", "failed", "stopped", "absent"})
"""States in which Ray holds nothing of a job any more."""


class RayJobs(Protocol):
    """Ray's jobs. Every method raises Unavailable if Ray does not answer."""

    def submit(self, submission_id: str, spec_key: str) -> None:
        """Starts a runner for the specification stored under `spec_key`. Again changes nothing: one
        submission id names one Ray job for ever."""
        ...

    def status(self, submission_id: str) -> RayStatus:
        """A hint about the process; what became of the training, the runner itself says."""
        ...

    def stop(self, submission_id: str) -> None:
        """Asks for the end: SIGTERM, then SIGKILL. Does nothing to a job that is gone."""
        ...


class ServingClient(Protocol):
    """The Serve applications. Every method raises Unavailable or Overloaded when it should be asked again
    later."""

    def check_dataset(self, request: DatasetCheckRequest) -> DatasetCheck:
        """Raises InvalidConfiguration if the base cannot be used, CorruptArtefact if the file's bytes
        differ, and InvalidRequest if the training names layers that the base does not have."""
        ...

    def score(self, model: ModelRef, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """log p(row[j + 1] | row[: j + 1]) of every row: one shorter than its row. Raises CorruptArtefact or
        InvalidRequest if the model cannot be served."""
        ...

    def finish_reason(self, model: ModelRef, prompt: Sequence[int], max_tokens: int) -> FinishReason:
        """How the model's most likely answer to a prompt of token ids ends. Raises as `score` does."""
        ...

    def classify_scores(self, model: ModelRef, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probabilities of the classes of every row of token ids, flat: of a model that sorts texts one a
        class; of one that sorts words those of the first token, then of the second. Raises as `score`
        does."""
        ...
