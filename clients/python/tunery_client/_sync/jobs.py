"""`tunery.jobs`: creates fine-tuning jobs and waits for them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal

import httpx
from tunery_client._generated.api.fine_tuning import (
    fine_tuning_jobs_cancel,
    fine_tuning_jobs_checkpoints_list,
    fine_tuning_jobs_events_list,
    fine_tuning_jobs_list,
    fine_tuning_jobs_pause,
    fine_tuning_jobs_resume,
    fine_tuning_jobs_retrieve,
)
from tunery_client._generated.models.fine_tuning_job import FineTuningJob
from tunery_client._generated.models.fine_tuning_job_checkpoint import (
    FineTuningJobCheckpoint,
)
from tunery_client._generated.models.fine_tuning_job_estimate import (
    FineTuningJobEstimate,
)
from tunery_client._generated.models.fine_tuning_job_event import FineTuningJobEvent
from tunery_client._generated.models.fine_tuning_job_preview import FineTuningJobPreview
from tunery_client._generated.models.fine_tuning_jobs_list_metadata import (
    FineTuningJobsListMetadata,
)
from tunery_client._sync.transport import Resource
from tunery_client.answers import answer
from tunery_client.concurrency import sleep
from tunery_client.errors import ConnectionFailed, Overloaded, ServerError, WaitTimeout
from tunery_client.metrics import as_dataframe, metrics_of
from tunery_client.paths import segment
from tunery_client.retrying import IDEMPOTENCY_KEY, PREPARING

if TYPE_CHECKING:
    import pandas

ENDED = frozenset({"succeeded", "failed", "cancelled"})

_JOBS = "/v1/fine_tuning/jobs"
_SILENCE_SECONDS = 5.0
"""Reconnecting after so long a silence costs little, and lets the deadline be checked."""
_RECONNECT_SECONDS = 1.0
_PREPARED_SECONDS = 1800.0
_POLL_SECONDS = 1.0
"""Where the server does not say when to ask again."""


class Jobs(Resource):
    def create(
        self, *, model: str, training_file: str, idempotency_key: str | None = None, **options: Any
    ) -> FineTuningJob:
        """Creates a job. Options have the names of the HTTP API's parameters: `validation_file`, `suffix`,
        `seed`, `method`, `metadata`, and `training` for Tunery's extensions.

        However often the request is repeated, it makes one job. Pass `idempotency_key` if your own program
        may repeat it too."""
        body = {"model": model, "training_file": training_file, **options}
        headers = {IDEMPOTENCY_KEY: idempotency_key or str(uuid.uuid4())}
        return FineTuningJob.from_dict(self._post(_JOBS, body, headers=headers))

    def replay(self, job_id: str, *, training: dict[str, Any] | None = None, **changes: Any) -> FineTuningJob:
        """Repeats a former job. `changes` are parameters of `create` that differ."""
        source = self.retrieve(job_id)
        return self.create(
            **{"model": source.model, "training_file": source.training_file, **changes},
            training={"source_job": job_id, **(training or {})},
        )

    def preview(
        self,
        *,
        model: str,
        training_file: str,
        timeout_seconds: float | None = _PREPARED_SECONDS,
        **options: Any,
    ) -> FineTuningJobPreview:
        """Shows what a job would learn, token by token. Takes the options of `create`, and `n`, the number of
        rows, or `lines`, their numbers. Stores nothing.

        Waits while the server reads a large file or fetches the base's tokenizer. Raises WaitTimeout after
        `timeout_seconds`, or up to 20 s later, which one answer may take. None waits forever."""
        body = {"model": model, "training_file": training_file, **options}
        return FineTuningJobPreview.from_dict(self._prepared(f"{_JOBS}/preview", body, timeout_seconds))

    def estimate(
        self,
        *,
        model: str,
        training_file: str,
        timeout_seconds: float | None = _PREPARED_SECONDS,
        **options: Any,
    ) -> FineTuningJobEstimate:
        """Says what a job would take. Takes the options of `create`, and stores nothing. Waits like
        `preview`."""
        body = {"model": model, "training_file": training_file, **options}
        return FineTuningJobEstimate.from_dict(self._prepared(f"{_JOBS}/estimate", body, timeout_seconds))

    def retrieve(self, job_id: str) -> FineTuningJob:
        return answer(fine_tuning_jobs_retrieve.sync(job_id, client=self._client))

    def cancel(self, job_id: str) -> FineTuningJob:
        return answer(fine_tuning_jobs_cancel.sync(job_id, client=self._client))

    def pause(self, job_id: str) -> FineTuningJob:
        return answer(fine_tuning_jobs_pause.sync(job_id, client=self._client))

    def resume(self, job_id: str) -> FineTuningJob:
        return answer(fine_tuning_jobs_resume.sync(job_id, client=self._client))

    def republish(
        self,
        job_id: str,
        *,
        gate: Literal["check", "skip"] = "check",
        regression: Literal["check", "allow"] = "check",
    ) -> FineTuningJob:
        """Tries at once to publish a trained job's model: after a failed try, or while the job waits for the
        next one. `gate="skip"` leaves out the comparison of serving with training, and needs a key with the
        scope `admin`; `regression="allow"` leaves out the job's `max_regression`."""
        body = {"gate": gate, "regression": regression}
        return FineTuningJob.from_dict(self._post(f"{_JOBS}/{segment(job_id)}/republish", body))

    def list(self, *, metadata: dict[str, str] | None = None) -> Iterator[FineTuningJob]:
        """Yields jobs, newest first; with `metadata`, only jobs that have these pairs."""
        wanted = {f"metadata[{key}]": value for key, value in (metadata or {}).items()}
        return self._pages(fine_tuning_jobs_list.sync, metadata=FineTuningJobsListMetadata.from_dict(wanted))

    def checkpoints(self, job_id: str) -> Iterator[FineTuningJobCheckpoint]:
        """Yields the job's checkpoints, newest first."""
        return self._pages(fine_tuning_jobs_checkpoints_list.sync, job_id=job_id)

    def events(self, job_id: str) -> Iterator[FineTuningJobEvent]:
        """Yields the events so far, newest first."""
        return self._pages(fine_tuning_jobs_events_list.sync, job_id=job_id)

    def metrics(self, job_id: str) -> Sequence[dict[str, Any]]:
        """The metrics so far, in the order of their steps: `step`, `train_loss` and others."""
        return metrics_of([event for event in self.events(job_id)])

    def to_dataframe(self, job_id: str) -> pandas.DataFrame:
        """`metrics` as a data frame with `step` as its index. Needs pandas."""
        return as_dataframe(self.metrics(job_id))

    def stream_events(
        self, job_id: str, *, timeout_seconds: float | None = None
    ) -> Generator[FineTuningJobEvent, None]:
        """Yields every event once, oldest first, as it happens, until the job has ended. Reconnects
        automatically.

        Raises WaitTimeout after `timeout_seconds`, or up to 5 s later. None waits forever."""
        deadline = _deadline(timeout_seconds)
        last_id = "-1"
        while True:
            try:
                with closing(self._stream_once(job_id, last_id, _remaining(job_id, deadline))) as events:
                    for event_id, data in events:
                        last_id = event_id or last_id
                        yield FineTuningJobEvent.from_dict(data)
                        _remaining(job_id, deadline)
                if (self.retrieve(job_id)).status in ENDED:
                    return
            except (ConnectionFailed, Overloaded, ServerError):
                # The server is restarting, or the network failed. The job continues, so try again.
                sleep(min(_RECONNECT_SECONDS, _remaining(job_id, deadline)))

    def wait(
        self,
        job_id: str,
        *,
        on_event: Callable[[FineTuningJobEvent], object] | None = None,
        timeout_seconds: float | None = None,
    ) -> FineTuningJob:
        """Waits until the job has ended, successfully or not, and returns it. Check its `status`.

        Raises WaitTimeout after `timeout_seconds`, or up to 5 s later. The job then continues."""
        with closing(self.stream_events(job_id, timeout_seconds=timeout_seconds)) as events:
            for event in events:
                if on_event is not None:
                    on_event(event)
        return self.retrieve(job_id)

    def _prepared(self, path: str, body: dict[str, Any], timeout_seconds: float | None) -> dict[str, Any]:
        """Posts the body until the server has what it needs for the answer."""
        deadline = _deadline(timeout_seconds)
        while True:
            try:
                return self._post(path, body, is_repeatable=True, is_polled=True)
            except ServerError as error:
                if error.code not in PREPARING:
                    raise
                named, left = error.retry_after_seconds, _seconds_until(deadline)
                if left <= 0:
                    raise WaitTimeout(f"The server was not ready in time: {error.message}") from error
            sleep(min(_POLL_SECONDS if named is None else named, left))

    def _stream_once(
        self, job_id: str, last_id: str, remaining_seconds: float
    ) -> Generator[tuple[str | None, dict[str, Any]], None]:
        return self._streamed(
            "GET",
            f"{_JOBS}/{segment(job_id)}/events",
            params={"stream": "true"},
            headers={"last-event-id": last_id},
            timeout=httpx.Timeout(min(_SILENCE_SECONDS, remaining_seconds)),
        )


def _deadline(timeout_seconds: float | None) -> float | None:
    return None if timeout_seconds is None else time.monotonic() + timeout_seconds


def _seconds_until(deadline: float | None) -> float:
    return float("inf") if deadline is None else deadline - time.monotonic()


def _remaining(job_id: str, deadline: float | None) -> float:
    remaining = _seconds_until(deadline)
    if remaining <= 0:
        raise WaitTimeout(f"Job {job_id} did not end in time; it continues on the server.")
    return remaining
