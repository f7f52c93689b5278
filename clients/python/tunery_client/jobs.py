"""`tunery.jobs`: creates fine-tuning jobs and waits for them."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Literal

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
from tunery_client._generated.client import AuthenticatedClient
from tunery_client._generated.models.fine_tuning_job import FineTuningJob
from tunery_client._generated.models.fine_tuning_job_checkpoint import FineTuningJobCheckpoint
from tunery_client._generated.models.fine_tuning_job_estimate import FineTuningJobEstimate
from tunery_client._generated.models.fine_tuning_job_event import FineTuningJobEvent
from tunery_client._generated.models.fine_tuning_job_preview import FineTuningJobPreview
from tunery_client._generated.models.fine_tuning_jobs_list_metadata import FineTuningJobsListMetadata
from tunery_client._generated.types import UNSET
from tunery_client.errors import ConnectionFailed, Overloaded, ServerError, WaitTimeout
from tunery_client.transport import answer, pages, post, streamed

ENDED = frozenset({"succeeded", "failed", "cancelled"})

_SILENCE_SECONDS = 5.0
"""Reconnecting after so long a silence costs little, and lets the deadline be checked."""
_RECONNECT_SECONDS = 1.0


class Jobs:
    def __init__(self, client: AuthenticatedClient) -> None:
        self._client = client

    def create(self, *, model: str, training_file: str, **options: Any) -> FineTuningJob:
        """Creates a job. Options have the names of the HTTP API's parameters: `validation_file`, `suffix`,
        `seed`, `method`, `metadata`, and `training` for Tunery's extensions."""
        body = {"model": model, "training_file": training_file, **options}
        return FineTuningJob.from_dict(post(self._client, "/v1/fine_tuning/jobs", body))

    def replay(self, job_id: str, *, training: dict[str, Any] | None = None, **changes: Any) -> FineTuningJob:
        """Repeats a former job. `changes` are parameters of `create` that differ."""
        source = self.retrieve(job_id)
        return self.create(
            **{"model": source.model, "training_file": source.training_file, **changes},
            training={"source_job": job_id, **(training or {})},
        )

    def preview(self, *, model: str, training_file: str, **options: Any) -> FineTuningJobPreview:
        """Shows what a job would learn, token by token. Takes the options of `create`, and `n`, the number of
        rows, or `lines`, their numbers. Stores nothing."""
        body = {"model": model, "training_file": training_file, **options}
        return FineTuningJobPreview.from_dict(post(self._client, "/v1/fine_tuning/jobs/preview", body))

    def estimate(self, *, model: str, training_file: str, **options: Any) -> FineTuningJobEstimate:
        """Says what a job would take. Takes the options of `create`, and stores nothing."""
        body = {"model": model, "training_file": training_file, **options}
        return FineTuningJobEstimate.from_dict(post(self._client, "/v1/fine_tuning/jobs/estimate", body))

    def retrieve(self, job_id: str) -> FineTuningJob:
        return answer(lambda: fine_tuning_jobs_retrieve.sync(job_id, client=self._client))

    def cancel(self, job_id: str) -> FineTuningJob:
        return answer(lambda: fine_tuning_jobs_cancel.sync(job_id, client=self._client))

    def pause(self, job_id: str) -> FineTuningJob:
        return answer(lambda: fine_tuning_jobs_pause.sync(job_id, client=self._client))

    def resume(self, job_id: str) -> FineTuningJob:
        return answer(lambda: fine_tuning_jobs_resume.sync(job_id, client=self._client))

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
        return FineTuningJob.from_dict(post(self._client, f"/v1/fine_tuning/jobs/{job_id}/republish", body))

    def list(self, *, metadata: dict[str, str] | None = None) -> Iterator[FineTuningJob]:
        """Yields jobs, newest first; with `metadata`, only jobs that have these pairs."""
        wanted = {f"metadata[{key}]": value for key, value in (metadata or {}).items()}

        def fetch(after: str | None) -> tuple[list[FineTuningJob], bool]:
            page = answer(
                lambda: fine_tuning_jobs_list.sync(
                    client=self._client,
                    after=after or UNSET,
                    limit=100,
                    metadata=FineTuningJobsListMetadata.from_dict(wanted),
                )
            )
            return page.data, page.has_more

        return pages(fetch)

    def checkpoints(self, job_id: str) -> Iterator[FineTuningJobCheckpoint]:
        """Yields the job's checkpoints, newest first."""

        def fetch(after: str | None) -> tuple[list[FineTuningJobCheckpoint], bool]:
            page = answer(
                lambda: fine_tuning_jobs_checkpoints_list.sync(
                    job_id, client=self._client, after=after or UNSET, limit=100
                )
            )
            return page.data, page.has_more

        return pages(fetch)

    def events(self, job_id: str) -> Iterator[FineTuningJobEvent]:
        """Yields the events so far, newest first."""

        def fetch(after: str | None) -> tuple[list[FineTuningJobEvent], bool]:
            page = answer(
                lambda: fine_tuning_jobs_events_list.sync(
                    job_id, client=self._client, after=after or UNSET, limit=100
                )
            )
            return page.data, page.has_more

        return pages(fetch)

    def stream_events(
        self, job_id: str, *, timeout_seconds: float | None = None
    ) -> Iterator[FineTuningJobEvent]:
        """Yields every event once, oldest first, as it happens, until the job has ended. Reconnects
        automatically.

        Raises WaitTimeout after `timeout_seconds`, or up to 5 s later. None waits forever."""
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        last_id = "-1"
        while True:
            try:
                for event_id, data in self._stream_once(job_id, last_id, _remaining(job_id, deadline)):
                    last_id = event_id or last_id
                    yield FineTuningJobEvent.from_dict(data)
                    _remaining(job_id, deadline)
                if self.retrieve(job_id).status in ENDED:
                    return
            except (ConnectionFailed, Overloaded, ServerError):
                # The server is restarting, or the network failed. The job continues, so try again.
                time.sleep(min(_RECONNECT_SECONDS, _remaining(job_id, deadline)))

    def wait(
        self,
        job_id: str,
        *,
        on_event: Callable[[FineTuningJobEvent], object] | None = None,
        timeout_seconds: float | None = None,
    ) -> FineTuningJob:
        """Waits until the job has ended, successfully or not, and returns it. Check its `status`.

        Raises WaitTimeout after `timeout_seconds`, or up to 5 s later. The job then continues."""
        for event in self.stream_events(job_id, timeout_seconds=timeout_seconds):
            if on_event is not None:
                on_event(event)
        return self.retrieve(job_id)

    def _stream_once(
        self, job_id: str, last_id: str, remaining_seconds: float
    ) -> Iterator[tuple[str | None, dict[str, Any]]]:
        silence = httpx.Timeout(min(_SILENCE_SECONDS, remaining_seconds))
        path = f"/v1/fine_tuning/jobs/{job_id}/events"
        events = streamed(
            self._client,
            "GET",
            path,
            params={"stream": "true"},
            headers={"last-event-id": last_id},
            timeout=silence,
        )
        with closing(events):
            yield from events


def _remaining(job_id: str, deadline: float | None) -> float:
    remaining = float("inf") if deadline is None else deadline - time.monotonic()
    if remaining <= 0:
        raise WaitTimeout(f"Job {job_id} did not end in time; it continues on the server.")
    return remaining
