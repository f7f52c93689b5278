"""The runner's one call to the service: heartbeat, events and state up, command down, and the fence."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

import httpx2
from pydantic import ValidationError

from cluster.contracts.jobs import (
    MAX_SYNC_BYTES,
    Command,
    Failed,
    JobSpec,
    RunnerEvent,
    RunnerMessage,
    RunnerState,
    Running,
    SyncRequest,
    SyncResponse,
)

EVENTS_SECONDS = 0.5
HEARTBEAT_SECONDS = 1.0
LONGEST_BACK_OFF_SECONDS = 5.0
FIRST_BACK_OFF_SECONDS = 0.25
EVENTS_PER_CALL = 500
BYTES_PER_CALL = MAX_SYNC_BYTES // 2
"""Of events; the state comes beside them."""
LONGEST_MESSAGE = 8_000
"""Characters of an event's or a state's message; the rest is left out, or the service would never take it."""

Outgoing = TypeVar("Outgoing", RunnerEvent, RunnerState)


class FencedError(Exception):
    """A later attempt of the job exists: this process must end and write nothing more."""


class SyncResult(NamedTuple):
    command: Command
    has_all: bool
    """Whether the service now has every event, and the state that was passed."""


class ServiceLink:
    """Numbers events, keeps them until the service has them, and tells what it answers.

    The service may be away for as long as it likes: nothing is lost, sent out of order or numbered anew. A
    call whose answer was lost is sent again with the same numbers, by which the service knows it.
    """

    def __init__(
        self, spec: JobSpec, client: httpx2.Client, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client, self._clock = client, clock
        self._url = f"{spec.service_url}/internal/attempts/{spec.job_id}/{spec.attempt}/sync"
        self._headers = {"Authorization": f"Bearer {spec.attempt_token}", "Content-Type": "application/json"}
        self._unsent: deque[tuple[RunnerEvent, int]] = deque()
        """With each event's bytes."""
        self._next_seq = 0
        self._failures = 0
        self._last_call = float("-inf")

    def add(self, events: Iterable[RunnerEvent]) -> None:
        for event in events:
            numbered = _clipped(event.model_copy(update={"seq": self._next_seq}))
            self._unsent.append((numbered, len(numbered.model_dump_json().encode())))
            self._next_seq += 1

    def seconds_until_due(self) -> float:
        """Until events, or a sign of life, should be sent; longer after calls that failed."""
        if self._failures:
            pause = min(LONGEST_BACK_OFF_SECONDS, FIRST_BACK_OFF_SECONDS * 2.0 ** (self._failures - 1))
        else:
            pause = EVENTS_SECONDS if self._unsent else HEARTBEAT_SECONDS
        return max(0.0, self._last_call + pause - self._clock())

    def call(self, state: RunnerState) -> SyncResult | None:
        """Sends the oldest events and, with the last of them, `state`. Returns None if the service did not
        take them; raises FencedError."""
        batch = self._batch()
        has_all = len(batch) == len(self._unsent)
        response = self._post(SyncRequest(events=batch, state=_clipped(state) if has_all else Running()))
        self._last_call = self._clock()
        if response is None:
            self._failures += 1
            return None
        self._failures = 0
        for _ in batch:
            self._unsent.popleft()
        return SyncResult(response.command, has_all)

    def _batch(self) -> list[RunnerEvent]:
        """The oldest events, as many as the service takes at once."""
        batch: list[RunnerEvent] = []
        left = BYTES_PER_CALL
        for event, size in self._unsent:
            left -= size
            if batch and (left < 0 or len(batch) == EVENTS_PER_CALL):
                break
            batch.append(event)
        return batch

    def _post(self, request: SyncRequest) -> SyncResponse | None:
        try:
            answer = self._client.post(self._url, content=request.model_dump_json(), headers=self._headers)
        except httpx2.TransportError:
            return None
        if answer.status_code == 409:
            raise FencedError(f"The service has given this job to a later attempt: {answer.text[:200]}")
        if answer.status_code != 200:
            return None
        try:
            return SyncResponse.model_validate_json(answer.content)
        except ValidationError:
            return None


def _clipped(outgoing: Outgoing) -> Outgoing:
    if isinstance(outgoing, RunnerMessage | Failed) and len(outgoing.message) > LONGEST_MESSAGE:
        return outgoing.model_copy(update={"message": outgoing.message[:LONGEST_MESSAGE] + " …"})
    return outgoing
