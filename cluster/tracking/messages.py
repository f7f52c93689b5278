"""Messages between the runner and a tracker's process: one JSON object per line.

The runner begins with a TrackedRun, continues with steps and summaries, and closes with End. The process
answers with Started, and finally with Ended or a Problem.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from cluster.contracts.frozen import FrozenModel, NonFiniteModel
from cluster.contracts.integrations import Tracker
from cluster.contracts.jobs import StepMetrics

Outcome = Literal["finished", "failed", "cancelled", "interrupted"]
"""How an attempt ended. After `interrupted`, which is a pause or a platform fault, another may continue the
run."""


class TrackedRun(FrozenModel):
    """A run of a tracker. The attempts of a job share it, because they share its id."""

    tracker: Tracker
    id: str
    """The job's id."""
    base: str
    """Alias of the base."""
    config: dict[str, Any]


class Summary(NonFiniteModel):
    """What is known about a run as a whole."""

    type: Literal["summary"] = "summary"
    values: dict[str, float | str]


class End(FrozenModel):
    type: Literal["end"] = "end"
    outcome: Outcome


class Started(FrozenModel):
    type: Literal["started"] = "started"
    url: str | None


class Problem(FrozenModel):
    type: Literal["problem"] = "problem"
    reason: str
    """The reason in one or two sentences for the job's owner, without secrets."""


class Ended(FrozenModel):
    type: Literal["ended"] = "ended"


Message = Annotated[StepMetrics | Summary | End, Field(discriminator="type")]
Reply = Annotated[Started | Problem | Ended, Field(discriminator="type")]

message_adapter: TypeAdapter[Message] = TypeAdapter(Message)
reply_adapter: TypeAdapter[Reply] = TypeAdapter(Reply)
