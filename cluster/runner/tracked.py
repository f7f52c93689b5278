"""Passes a run's reports to its trackers too, and the trackers' reports to the service."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from cluster.contracts.evaluation import evaluation_numbers
from cluster.contracts.jobs import (
    CheckpointSaved,
    Failed,
    Finished,
    JobSpec,
    RunnerEvent,
    RunnerState,
    Running,
    StepMetrics,
)
from cluster.runner.supervise import SupervisedRun
from cluster.tracking.messages import End, Message, Outcome, Summary, TrackedRun
from cluster.tracking.process import TrackerProcess

CLOSING_SECONDS = 10.0
"""How long the end of an attempt waits until trackers have taken the last metrics."""
CANCELLED_SECONDS = 2.0
"""The same for a job that was cancelled. Ray stops its runner a little later."""
StartTracker = Callable[[TrackedRun, Path, Mapping[str, str]], TrackerProcess]


class Trackers:
    """The trackers of an attempt. They start with its run, and have ended when the context ends."""

    def __init__(
        self,
        spec: JobSpec,
        scratch: Path,
        environment: Mapping[str, str] = os.environ,
        *,
        start: StartTracker = TrackerProcess,
        closing_seconds: float = CLOSING_SECONDS,
        cancelled_seconds: float = CANCELLED_SECONDS,
    ) -> None:
        """`scratch` is a folder for temporary files. `environment` contains the keys of the trackers."""
        self._runs = tracked_runs(spec)
        self._start = start
        self._scratch = scratch
        self._environment = environment
        self._processes: list[TrackerProcess] = []
        self._has_ended = False
        self._cancelled_seconds = cancelled_seconds
        self.closing_seconds = closing_seconds

    def follow(self, run: SupervisedRun) -> SupervisedRun:
        """Returns a run that passes its reports to the trackers. Without trackers, returns the run itself."""
        self._processes = [self._start(each, self._scratch, self._environment) for each in self._runs]
        return _TrackedRun(run, self) if self._processes else run

    def send(self, messages: Sequence[Message]) -> None:
        for process in self._processes:
            for message in messages:
                process.send(message)

    def reports(self) -> list[RunnerEvent]:
        return [report for process in self._processes for report in process.reports()]

    def end(self, outcome: Outcome) -> None:
        self._has_ended = True
        self.send([End(outcome=outcome)])

    def wait(self, seconds: float) -> bool:
        """Returns whether all trackers are done with the run within that time."""
        deadline = time.monotonic() + seconds
        return all(process.wait(max(0.0, deadline - time.monotonic())) for process in self._processes)

    def give_up(self) -> None:
        for process in self._processes:
            process.stop(f"It did not take the last metrics within {self.closing_seconds:g} seconds.")

    def __enter__(self) -> "Trackers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A run without an end was either cancelled, or fenced, in which case the next attempt has the
        # trackers.
        if kind is None and not self._has_ended:
            self.end("cancelled")
            self.wait(self._cancelled_seconds)
        for process in self._processes:
            process.stop()


class _TrackedRun:
    """A run whose final state is held back until the trackers are done, but not for long: the service would
    lose what they report after it."""

    def __init__(self, run: SupervisedRun, trackers: Trackers) -> None:
        self._run = run
        self._trackers = trackers
        self._end: RunnerState | None = None
        self._deadline = 0.0

    def take(self, wait_seconds: float) -> tuple[list[RunnerEvent], RunnerState]:
        events: list[RunnerEvent] = []
        if self._end is None:
            events, state = self._run.take(wait_seconds)
            self._trackers.send([message for event in events if (message := message_of(event)) is not None])
            if not isinstance(state, Running):
                self._begin_end(state)
        if self._end is None:
            return [*events, *self._trackers.reports()], Running()
        left = self._deadline - time.monotonic()
        is_done = self._trackers.wait(max(0.0, min(wait_seconds, left)))
        if not is_done and left <= 0:
            self._trackers.give_up()
            is_done = True
        return [*events, *self._trackers.reports()], self._end if is_done else Running()

    def pause(self) -> None:
        self._run.pause()

    def _begin_end(self, state: RunnerState) -> None:
        self._end = state
        self._deadline = time.monotonic() + self._trackers.closing_seconds
        if isinstance(state, Finished):
            self._trackers.send([Summary(values=_results(state))])
        self._trackers.end(outcome_of(state))


def tracked_runs(spec: JobSpec) -> list[TrackedRun]:
    """Returns the description of the run that each tracker of the job gets first."""
    if spec.tracking is None:
        return []
    config = {
        "job_id": spec.job_id,
        "base": spec.base.alias,
        **spec.tracking.config,
        "training_sha256": spec.training_sha256,
        "validation_sha256": spec.validation_sha256,
        "general_sha256": spec.general_sha256,
        **spec.config.model_dump(mode="json"),
    }
    known = {name: value for name, value in config.items() if value is not None}
    return [
        TrackedRun(tracker=tracker, id=spec.job_id, base=spec.base.alias, config=known)
        for tracker in spec.tracking.trackers
    ]


def message_of(event: RunnerEvent) -> Message | None:
    """Returns what trackers are told about an event: steps, and the digests that the first checkpoint
    names."""
    if isinstance(event, StepMetrics):
        return event
    if isinstance(event, CheckpointSaved) and (origin := event.provenance) is not None:
        return Summary(values={"base_sha256": origin.base_sha256, "template_sha256": origin.template_sha256})
    return None


def outcome_of(state: RunnerState) -> Outcome:
    if isinstance(state, Finished):
        return "finished"
    return "failed" if isinstance(state, Failed) and state.is_user_fault else "interrupted"


def _results(state: Finished) -> dict[str, float | str]:
    evaluation = {} if state.report is None else evaluation_numbers(state.report)
    return {"trained_tokens": state.trained_tokens, **evaluation}
