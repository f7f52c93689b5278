"""Integrations of a job: what its owner asks for, what its runner is told, and what trackers report back."""

import time
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from cluster.contracts.frozen import FrozenModel
from cluster.contracts.strict_model import StrictModel

TrackerType = Literal["wandb", "mlflow", "trackio"]
"""A tracker shows the metrics of a run while it goes on. Its own process beside the runner feeds it."""
IntegrationType = Literal["wandb", "mlflow", "trackio", "tensorboard"]
"""The trackers, and `tensorboard`, an event file that is written when the job's model is published."""

TRACKER_NAMES: dict[TrackerType, str] = {
    "wandb": "Weights and Biases",
    "mlflow": "MLflow",
    "trackio": "trackio",
}

PlaceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,126}[A-Za-z0-9_-]$|^[A-Za-z0-9]$")]
"""The name of a project, an experiment or a team. It is part of URLs and file names of trackers."""
RunName = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,128}$")]
Tag = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,64}$")]


class _Options(StrictModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class WandbOptions(_Options):
    """Where the job's run appears in Weights & Biases."""

    project: PlaceName
    """Project of the run. It is created if it does not exist."""
    name: RunName | None = None
    """Name of the run. By default the job's id."""
    entity: PlaceName | None = None
    """Team or user that owns the project. By default that of the server's key."""
    tags: Annotated[list[Tag], Field(max_length=32)] | None = None
    """Tags of the run, in addition to those that every run gets: `tunery/finetune`, the base and the job."""


class MlflowOptions(_Options):
    """Where the job's run appears in MLflow."""

    experiment: PlaceName
    """Experiment of the run. It is created if it does not exist."""
    name: RunName | None = None
    """Name of the run. By default the job's id."""


class TrackioOptions(_Options):
    """Where the job's run appears in trackio."""

    project: PlaceName
    """Project of the run. It is created if it does not exist."""
    name: PlaceName | None = None
    """Prefix of the run's name, which ends with the job's id. By default, the name is only the id."""


class WandbTracker(FrozenModel):
    type: Literal["wandb"] = "wandb"
    url: str
    """Root URL of the server's API."""
    options: WandbOptions


class MlflowTracker(FrozenModel):
    type: Literal["mlflow"] = "mlflow"
    url: str
    """Root URL of the tracking server."""
    options: MlflowOptions


class TrackioTracker(FrozenModel):
    type: Literal["trackio"] = "trackio"
    url: str
    """`file:///folder`, the root URL of a server, or `hf://owner/space`."""
    options: TrackioOptions


Tracker = Annotated[WandbTracker | MlflowTracker | TrackioTracker, Field(discriminator="type")]


class Tracking(FrozenModel):
    """What the runner of a job tells to which trackers. It holds no keys: those are in the environment of the
    cluster."""

    trackers: list[Tracker]
    config: dict[str, Any]
    """What the job was created with, for people: names of files and of the model."""


class TrackerReport(FrozenModel):
    """What became of the run in a tracker. Of a tracker with a problem no more is heard."""

    type: Literal["tracker"] = "tracker"
    created_at: int = Field(default_factory=lambda: int(time.time()))
    tracker: TrackerType
    url: str | None = None
    """Page of the run. None if there is no page, or with a problem."""
    problem: str | None = None
    """A sentence about why the tracker gets nothing more."""
