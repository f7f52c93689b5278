"""Follows a job on the terminal until it ends, or until Ctrl-C, which leaves the job alone."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from service.cli.failures import DETACHED, JOB_FAILED, CommandFailed
from service.cli.http.retrying import retried
from service.cli.jobs.following import follow
from service.cli.jobs.live_line import Progress, live_line
from service.cli.output import Item, printable
from service.cli.remote import Api

_MARKS = {"info": "", "warn": "warning: ", "error": "error: "}


def watch(api: Api, job_id: str) -> dict[str, Any]:
    """Shows the job's events on stderr until the job has ended, and returns the job. On a terminal, steps
    share one line that changes; elsewhere, there is a line for every twentieth of the training.

    Raises CommandFailed on Ctrl-C, saying how to follow the job again."""
    try:
        with _screen() as screen:
            for event in follow(api, job_id, on_trouble=screen.trouble):
                screen.show(event)
        # The job has ended: its result is worth as long a wait as its events.
        job: dict[str, Any] = retried(
            lambda: api.get(f"/fine_tuning/jobs/{job_id}"), within_seconds=float("inf")
        )
        return job
    except KeyboardInterrupt:
        raise CommandFailed(
            f"Detached: {job_id} continues. Follow it again with `tunery jobs wait {job_id}`, or stop it "
            f"with `tunery jobs cancel {job_id}`.",
            DETACHED,
        ) from None


def check_ended_well(job: Item) -> None:
    """Raises CommandFailed with JOB_FAILED unless the job has succeeded."""
    if job["status"] == "succeeded":
        return
    error = job.get("error") or {}
    reason = error.get("message") or "it has no model"
    code = f" ({error['code']})" if error.get("code") else ""
    raise CommandFailed(f"{job['id']} is {job['status']}: {reason}{code}", JOB_FAILED)


def event_line(event: Item) -> str:
    """A message or the figures of a step, without the time."""
    if event["type"] == "metrics" and "step" in event["data"]:
        return live_line(Progress().after(event["data"]), 200)
    return printable(f"{_MARKS.get(event['level'], '')}{event['message']}")


@contextmanager
def _screen() -> Iterator["_Lines | _Screen"]:
    if not sys.stderr.isatty():
        yield _Lines()
        return
    console = Console(stderr=True, highlight=False)
    with Live(console=console, refresh_per_second=8) as live:
        screen = _Screen(console, live)
        try:
            yield screen
        finally:
            screen.end()


class _Lines:
    """Output for files and pipes."""

    def __init__(self) -> None:
        self._progress = Progress()
        self._twentieth = -1

    def show(self, event: Item) -> None:
        if event["type"] != "metrics" or "step" not in event["data"]:
            print(event_line(event), file=sys.stderr, flush=True)
            return
        self._progress = self._progress.after(event["data"])
        twentieth = 20 * self._progress.step // (self._progress.total_steps or 1)
        if twentieth != self._twentieth:
            self._twentieth = twentieth
            print(live_line(self._progress, 200), file=sys.stderr, flush=True)

    def trouble(self, reason: str | None) -> None:
        """Does nothing: a broken connection is restored, or Ctrl-C ends the command."""


class _Screen:
    """Output for terminals: messages scroll, and the line below them changes."""

    def __init__(self, console: Console, live: Live) -> None:
        self._console = console
        self._live = live
        self._progress = Progress()
        live.update(self._line())

    def show(self, event: Item) -> None:
        if event["type"] == "metrics" and "step" in event["data"]:
            self._progress = self._progress.after(event["data"])
            self._live.update(self._line())
            return
        self._progress = self._progress.idle()
        self._live.update(self._line())
        style = {"warn": "yellow", "error": "red"}.get(event["level"], "")
        self._console.print(Text(event_line(event), style), soft_wrap=True)

    def trouble(self, reason: str | None) -> None:
        note = "" if reason is None else "  reconnecting …"
        self._live.update(Text.assemble(self._line(), (note, "dim")))

    def end(self) -> None:
        """Keeps the last step on the screen."""
        self._live.update(self._line() if self._progress.losses else Text(""))

    def _line(self) -> Text:
        if not self._progress.losses:
            return Text("waiting for the first step …", "dim")
        return Text(live_line(self._progress, self._console.width - 18), "cyan", no_wrap=True)
