"""What a runner does from its first word to its last: keeps a run and the service in step."""

import time
from collections.abc import Callable
from typing import Protocol

from cluster.contracts.jobs import RunnerEvent, RunnerState, Running, Stopped
from cluster.runner.sync import EVENTS_SECONDS, ServiceLink


class SupervisedRun(Protocol):
    """Training that goes on elsewhere."""

    def take(self, wait_seconds: float) -> tuple[list[RunnerEvent], RunnerState]:
        """The events since the last call, and the state; waits for at most `wait_seconds`, less if the run
        ends meanwhile. After the final state there are no more events."""
        ...

    def pause(self) -> None:
        """Asks the run to save a checkpoint and stop. May be asked again."""
        ...


def supervise(
    link: ServiceLink, start: Callable[[], SupervisedRun], *, sleep: Callable[[float], None] = time.sleep
) -> RunnerState:
    """Runs one attempt and returns its final state, which the service has then acknowledged.

    The first call comes before `start`, which takes seconds: the job shows as started at once, and one that
    was cancelled meanwhile never starts. A service that is away stops nothing. Raises FencedError; the caller
    must then end the process, and with it the run.
    """
    answer = link.call(Running())
    if answer is not None and answer.command != "continue":
        state: RunnerState = Stopped()
    else:
        state = _follow(link, start())
    while (answer := link.call(state)) is None or not answer.has_all:
        sleep(link.seconds_until_due())
    return state


def _follow(link: ServiceLink, run: SupervisedRun) -> RunnerState:
    while True:
        events, state = run.take(min(EVENTS_SECONDS, link.seconds_until_due()))
        link.add(events)
        if not isinstance(state, Running):
            return state
        if link.seconds_until_due() > 0:
            continue
        answer = link.call(state)
        if answer is not None and answer.command == "cancel":
            # Nobody waits for the run: it ends with this process.
            return Stopped()
        if answer is not None and answer.command == "pause":
            run.pause()
