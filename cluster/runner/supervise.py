"""The runner's main loop: passes events and commands between a run and the service."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from cluster.contracts.jobs import RunnerEvent, RunnerState, Running, Stopped
from cluster.runner.sync import EVENTS_SECONDS, FencedError, ServiceLink


class SupervisedRun(Protocol):
    """A training run that runs elsewhere."""

    def take(self, wait_seconds: float) -> tuple[list[RunnerEvent], RunnerState]:
        """Returns the events since the last call, and the state. Waits for at most `wait_seconds`, or less if
        the run ends. There are no events after the final state."""
        ...

    def pause(self) -> None:
        """Asks the run to save a checkpoint and stop. May be called repeatedly."""
        ...


def supervise(
    link: ServiceLink, start: Callable[[], SupervisedRun], *, sleep: Callable[[float], None] = time.sleep
) -> RunnerState:
    """Runs one attempt and returns its final state once the service has acknowledged it.

    The first call to the service precedes `start`, which takes seconds: the job is shown as started at once,
    and a job that was cancelled in the meantime never starts. Training continues while the service is down.
    Raises FencedError; the caller must then end the process, and the run with it.
    """
    result = link.call(Running())
    if result is not None and result.command != "continue":
        state: RunnerState = Stopped()
    else:
        state = _follow(link, start())
    while (result := link.call(state)) is None or not result.is_up_to_date:
        sleep(link.seconds_until_due())
    return state


def tell_stopped(link: ServiceLink) -> None:
    """Tells the service that this process was told to end. If the service does not answer, gives up: there is
    no time for a retry."""
    with suppress(FencedError):
        while (result := link.call(Stopped())) is not None and not result.is_up_to_date:
            pass


def _follow(link: ServiceLink, run: SupervisedRun) -> RunnerState:
    while True:
        events, state = run.take(min(EVENTS_SECONDS, link.seconds_until_due()))
        link.add(events)
        if not isinstance(state, Running):
            return state
        if link.seconds_until_due() > 0:
            continue
        result = link.call(state)
        if result is not None and result.command == "cancel":
            # The run ends with this process, so there is nothing to wait for.
            return Stopped()
        if result is not None and result.command == "pause":
            run.pause()
