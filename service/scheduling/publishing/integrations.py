"""Prepares the data for a job's integrations: the run for trackers, the configuration for the event file."""

from typing import Any

from cluster.contracts.integrations import (
    MlflowOptions,
    MlflowTracker,
    Tracker,
    TrackerType,
    Tracking,
    TrackioOptions,
    TrackioTracker,
    WandbOptions,
    WandbTracker,
)
from service.db.jobs.files import JobFiles
from service.db.jobs.jobs import Job
from service.settings import TrackerPlaces


def asks_for_events(job: Job) -> bool:
    return any(each["type"] == "tensorboard" for each in job.integrations or [])


def event_file_name(job: Job) -> str:
    """TensorBoard finds files by `tfevents` in their names."""
    return f"events.out.tfevents.{job.created_at}.{job.id}"


def tracking_of(job: Job, files: JobFiles, places: TrackerPlaces) -> Tracking | None:
    """Returns None for a job without trackers. A tracker that the operator has disabled since is left out."""
    trackers = [
        _tracker(each["type"], each[each["type"]], places)
        for each in job.integrations or []
        if each["type"] in places.urls
    ]
    return Tracking(trackers=trackers, config=described(job, files)) if trackers else None


def described(job: Job, files: JobFiles) -> dict[str, Any]:
    """The job's settings at creation, for people, in addition to its TrainingConfig."""
    named = {"training": files.training, "validation": files.validation, "general": files.general}
    return {
        "fine_tuned_model": job.output_model,
        **{f"{name}_file": file.id for name, file in named.items() if file is not None},
        **{f"{name}_file_name": file.filename for name, file in named.items() if file is not None},
        "learning_rate_multiplier": job.hyperparameters.learning_rate_multiplier,
    }


def _tracker(type: TrackerType, options: dict[str, Any], places: TrackerPlaces) -> Tracker:
    url = places.urls[type]
    match type:
        case "wandb":
            entity = options["entity"] or places.wandb_entity
            return WandbTracker(url=url, options=WandbOptions.model_validate({**options, "entity": entity}))
        case "mlflow":
            return MlflowTracker(url=url, options=MlflowOptions.model_validate(options))
        case "trackio":
            return TrackioTracker(url=url, options=TrackioOptions.model_validate(options))
