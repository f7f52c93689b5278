"""What the scheduler needs from the cluster.

`ray_jobs.py`, `serving.py` and `cluster_view.py` implement it over HTTP; tests use fakes.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

from cluster.contracts.datasets import DatasetCheck, DatasetCheckRequest
from cluster.contracts.devices import ClaimAnswer, TrainingClaim
from cluster.contracts.exports import ExportAnswer, ExportRequest
from cluster.contracts.generation import FinishReason, ModelRef
from cluster.contracts.imports import ImportedAdapter, ImportRequest
from cluster.contracts.manifest import ProbeScores
from cluster.contracts.ray_nodes import ClusterReport, WaitingGang

RayStatus = Literal["pending", "running", "succeeded", "failed", "stopped", "absent"]
GONE: frozenset[RayStatus] = frozenset({"succeeded", "failed", "stopped", "absent"})
"""States in which Ray holds nothing for a job any more."""


class RayJobs(Protocol):
    """Ray's jobs. Every method raises Unavailable if Ray does not answer."""

    def submit(self, submission_id: str, spec_key: str) -> None:
        """Starts a runner for the specification stored under `spec_key`. Idempotent: a submission id names
        one Ray job for ever."""
        ...

    def status(self, submission_id: str) -> RayStatus:
        """The state of the process. The result of the training comes from the runner itself."""
        ...

    def list_jobs(self) -> dict[str, RayStatus]:
        """The states of all processes that Ray still knows, by submission id, whoever submitted them."""
        ...

    def stop(self, submission_id: str) -> None:
        """Stops the job's process: SIGTERM, then SIGKILL. Does nothing if the job is gone."""
        ...


class ClusterView(Protocol):
    """The cluster's nodes, and its autoscaler."""

    def look(self, waiting: Sequence[WaitingGang]) -> ClusterReport:
        """Returns the nodes that are alive. `waiting` lists all gangs for which the autoscaler should add
        nodes; a gang that is not listed again is forgotten within a minute. Raises Unavailable or Overloaded
        if the call should be repeated later."""
        ...


class ServingClient(Protocol):
    """The Serve applications. Every method raises Unavailable or Overloaded if the call should be retried
    later."""

    def check_dataset(self, request: DatasetCheckRequest, *, project_id: str) -> DatasetCheck:
        """Checks a file for a job of the project; projects take turns. Raises Unavailable with the code
        `CHECK_QUEUED` while other files are checked first, InvalidConfiguration if the base cannot be used,
        CorruptArtefact if the file's bytes differ, and InvalidRequest if the training names layers that the
        base does not have."""
        ...

    def import_adapter(self, request: ImportRequest) -> ImportedAdapter:
        """Checks and stores an adapter that was trained elsewhere. Raises InvalidRequest if the files are not
        a plain LoRA adapter of the base, NotFound if a file is gone, CorruptArtefact if its bytes differ, and
        InvalidConfiguration if the base cannot be used."""
        ...

    def export_weights(self, request: ExportRequest) -> ExportAnswer:
        """Starts an export unless it has started, and returns its progress. Raises InvalidRequest
        (`format_not_available`) if the model cannot be exported in this format, NotFound or CorruptArtefact
        if its weights are not in storage, and InvalidConfiguration if the base cannot be used."""
        ...

    def score(self, model: ModelRef, rows: Sequence[Sequence[int]]) -> ProbeScores:
        """Computes log p(row[j + 1] | row[: j + 1]) for every position of every row, and the most likely
        token at that position: one value fewer than the row has tokens. Raises CorruptArtefact or
        InvalidRequest if the model cannot be served."""
        ...

    def finish_reason(self, model: ModelRef, prompt: Sequence[int], max_tokens: int) -> FinishReason:
        """Returns how the model's most likely completion of a prompt of token ids ends. Raises the same
        errors as `score`."""
        ...

    def claim_devices(self, claim: TrainingClaim) -> ClaimAnswer:
        """Asks serving to give devices to training, and to keep none of its models on them until the next
        claim, for a minute at most. Returns whether they are free, and what models need. Idempotent."""
        ...

    def classify_scores(self, model: ModelRef, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """Returns, for every row of token ids, a flat list of the classes' log-probabilities. A text
        classifier gives one for each class; a token classifier gives those of the first token, then of the
        second, and so on. Raises the same errors as `score`."""
        ...
