"""The runner's only call to the service. It carries the heartbeat, events and state, and returns the
command."""

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
    NumberedEvent,
    RunnerEvent,
    RunnerMessage,
    RunnerState,
    Running,
    SyncRequest,
    SyncResponse,
    number_event,
)

EVENTS_SECONDS = 0.5
HEARTBEAT_SECONDS = 1.0
LONGEST_BACK_OFF_SECONDS = 5.0
FIRST_BACK_OFF_SECONDS = 0.25
EVENTS_PER_CALL = 500
BYTES_PER_CALL = MAX_SYNC_BYTES // 2
"""Maximum size of the events in one call. The state is sent beside them."""
LONGEST_MESSAGE = 8_000
"""Maximum characters of a message. The rest is cut off, because the service would refuse a larger request for
ever."""

Outgoing = TypeVar("Outgoing", RunnerEvent, RunnerState)


class FencedError(Exception):
    """A later attempt of the job exists, so this process must end and write nothing more."""


class SyncResult(NamedTuple):
    command: Command
    is_up_to_date: bool
    """Whether the service now has every event and the state that was passed."""


class ServiceLink:
    """Numbers events, keeps them until the service has accepted them, and passes on its commands.

    However long the service is down, no event is lost, reordered or renumbered. A call whose response was
    lost is sent again with the same numbers, so that the service recognises the events.
    """

    def __init__(
        self, spec: JobSpec, client: httpx2.Client, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client, self._clock = client, clock
        self._url = f"{spec.service_url}/internal/attempts/{spec.job_id}/{spec.attempt}/sync"
        self._headers = {"Authorization": f"Bearer {spec.attempt_token}", "Content-Type": "application/json"}
        self._unsent: deque[tuple[NumberedEvent, int]] = deque()
        """Each event with its size in bytes."""
        self._next_seq = 0
        self._failures = 0
        self._last_call = float("-inf")

    def add(self, events: Iterable[RunnerEvent]) -> None:
        for event in events:
            numbered = number_event(_clipped(event), self._next_seq)
            self._unsent.append((numbered, len(numbered.model_dump_json().encode())))
            self._next_seq += 1

    def seconds_until_due(self) -> float:
        """Seconds until the next call is due, with events or as a heartbeat; more after failed calls."""
        if self._failures:
            pause = min(LONGEST_BACK_OFF_SECONDS, FIRST_BACK_OFF_SECONDS * 2.0 ** (self._failures - 1))
        else:
            pause = EVENTS_SECONDS if self._unsent else HEARTBEAT_SECONDS
        return max(0.0, self._last_call + pause - self._clock())

    def call(self, state: RunnerState) -> SyncResult | None:
        """Sends the oldest events, and `state` together with the last of them. Returns None if the service
        did not accept them. Raises FencedError."""
        batch = self._batch()
        is_up_to_date = len(batch) == len(self._unsent)
        response = self._post(
            SyncRequest(events=batch, state=_clipped(state) if is_up_to_date else Running())
        )
        self._last_call = self._clock()
        if response is None:
            self._failures += 1
            return None
        self._failures = 0
        for _ in batch:
            self._unsent.popleft()
        return SyncResult(response.command, is_up_to_date)

    def _batch(self) -> list[NumberedEvent]:
        """Returns the oldest events, as many as the service accepts in one call."""
        batch: list[NumberedEvent] = []
        left = BYTES_PER_CALL
        for event, size in self._unsent:
            left -= size
            if batch and (left < 0 or len(batch) == EVENTS_PER_CALL):
                break
            batch.append(event)
        return batch

    def _post(self, request: SyncRequest) -> SyncResponse | None:
        try:
            response = self._client.post(self._url, content=request.model_dump_json(), headers=self._headers)
        except httpx2.TransportError:
            return None
        if response.status_code == 409:
            raise FencedError(f"The service has given this job to a later attempt: {response.text[:200]}")
        if response.status_code != 200:
            return None
        try:
            return SyncResponse.model_validate_json(response.content)
        except ValidationError:
            return None


def _clipped(outgoing: Outgoing) -> Outgoing:
    if isinstance(outgoing, RunnerMessage | Failed) and len(outgoing.message) > LONGEST_MESSAGE:
        return outgoing.model_copy(update={"message": outgoing.message[:LONGEST_MESSAGE] + " …"})
    return outgoing
