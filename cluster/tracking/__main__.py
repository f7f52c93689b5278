"""A process that feeds one tracker: `python -m cluster.tracking`. It reads a run and its messages from its
input, and writes replies to its output; see `messages.py`.

Trackers' packages may print, hang or crash. In a separate process, they do not affect the runner. When the
input ends without an end of the run, the runner is gone, and this process ends at once.
"""

import logging
import os
import queue
import sys
import threading
from collections.abc import Iterator
from typing import BinaryIO, TextIO

from cluster.contracts.jobs import StepMetrics
from cluster.tracking.messages import (
    End,
    Ended,
    Message,
    Outcome,
    Problem,
    Reply,
    Started,
    Summary,
    TrackedRun,
    message_adapter,
)
from cluster.tracking.opening import open_run
from cluster.tracking.reasons import reason_for, without_secrets
from cluster.tracking.run import TrackerRun

logger = logging.getLogger(__name__)
_WAITING = 1000
"""Number of messages that are read ahead. Messages that are logged together cost a tracker one call."""


def main() -> int:
    replies = _take_output()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    run = TrackedRun.model_validate_json(sys.stdin.buffer.readline())
    try:
        tracker = open_run(run)
        _reply(replies, Started(url=tracker.url))
        outcome = _feed(tracker, _messages(sys.stdin.buffer))
        if outcome is None:
            return 1
        tracker.end(outcome)
        _reply(replies, Ended())
    except Exception as error:
        logger.error("%s", without_secrets(f"{run.tracker.type} failed: {error!r}"))
        _reply(replies, Problem(reason=reason_for(error)))
        return 1
    return 0


def _feed(tracker: TrackerRun, batches: Iterator[list[Message]]) -> Outcome | None:
    """Passes on messages until the run ends. Returns None if the runner is gone."""
    newest = tracker.last_step
    for batch in batches:
        steps: list[StepMetrics] = []
        for message in batch:
            match message:
                case End(outcome=outcome):
                    tracker.log(steps)
                    return outcome
                case Summary(values=values):
                    tracker.log(steps)
                    steps = []
                    tracker.summarize(values)
                case step:
                    # An attempt that continues from a checkpoint repeats the steps after it.
                    if step.step > newest:
                        steps.append(step)
                        newest = step.step
        tracker.log(steps)
    return None


def _messages(stream: BinaryIO) -> Iterator[list[Message]]:
    """Yields everything that has arrived since the last call, at least one message."""
    waiting: queue.Queue[Message | None] = queue.Queue(_WAITING)

    def read() -> None:
        for line in stream:
            waiting.put(message_adapter.validate_json(line))
        waiting.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        batch = [waiting.get()]
        while not waiting.empty():
            batch.append(waiting.get())
        yield [message for message in batch if message is not None]
        if batch[-1] is None:
            return


def _take_output() -> TextIO:
    """Reserves the output for replies. What packages print goes to the error output."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return replies


def _reply(replies: TextIO, reply: Reply) -> None:
    replies.write(reply.model_dump_json() + "\n")
    replies.flush()


if __name__ == "__main__":
    code = 1
    try:
        code = main()
    except BrokenPipeError:
        pass
    finally:
        sys.stderr.flush()
        # Not sys.exit, which runs the packages' own handlers and waits for their threads.
        os._exit(code)
