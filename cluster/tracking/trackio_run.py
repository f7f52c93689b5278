"""trackio, through its own package."""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

from cluster.contracts.integrations import TrackioTracker
from cluster.contracts.jobs import StepMetrics
from cluster.tracking.messages import Outcome, TrackedRun
from cluster.tracking.run import TrackerError, metrics_of


class TrackioRun:
    def __init__(self, run: TrackedRun, tracker: TrackioTracker) -> None:
        parts = urlsplit(tracker.url)
        place: dict[str, str] = {}
        self.url: str | None = None
        if parts.scheme == "file":
            # trackio reads it when it is imported.
            os.environ["TRACKIO_DIR"] = unquote(parts.path)
        elif parts.scheme == "hf":
            place["space_id"] = parts.netloc + parts.path
            self.url = f"https://huggingface.co/spaces/{parts.netloc}{parts.path}"
        else:
            place["server_url"] = self.url = tracker.url
        os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
        import trackio

        options = tracker.options
        with _strict():
            self._run = trackio.init(
                project=options.project,
                # trackio finds a run by its name. With the job's id, no other job has it.
                name=f"{options.name} {run.id}" if options.name else run.id,
                config=run.config,
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
                **place,
            )
        self.last_step = max(0, self._run._next_step - 1)
        self._newest = self.last_step

    def log(self, steps: Sequence[StepMetrics]) -> None:
        for step in steps:
            self._run.log(metrics_of(step), step=step.step)
            self._newest = step.step

    def summarize(self, values: Mapping[str, float | str]) -> None:
        """Adds a summary. trackio keeps numbers only, each at a step."""
        numbers = {name: value for name, value in values.items() if not isinstance(value, str)}
        if numbers:
            self._run.log(numbers, step=self._newest)

    def end(self, outcome: Outcome) -> None:
        with _strict():
            self._run.finish()


@contextmanager
def _strict() -> Iterator[None]:
    """Turns trackio's warnings into errors. If its server cannot be reached, it only warns and continues."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield
    for each in map(str, (warning.message for warning in found)):
        if "could not" in each.lower():
            raise TrackerError(each)
