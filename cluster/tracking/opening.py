"""Opens a run in the tracker that it is for."""

from cluster.tracking.messages import TrackedRun
from cluster.tracking.run import TrackerRun


def open_run(run: TrackedRun) -> TrackerRun:
    """Opens the run, or the one that an earlier attempt of the job opened. Each tracker's package is imported
    only if it is used. Raises TrackerError, or what that package raises."""
    match run.tracker.type:
        case "wandb":
            from cluster.tracking.wandb_run import WandbRun

            return WandbRun(run, run.tracker)
        case "mlflow":
            from cluster.tracking.mlflow_run import MlflowRun

            return MlflowRun(run, run.tracker)
        case "trackio":
            from cluster.tracking.trackio_run import TrackioRun

            return TrackioRun(run, run.tracker)
