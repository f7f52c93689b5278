"""Shows the progress of a command: a bar on a terminal; elsewhere, occasional lines for long counts."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

Unit = Literal["bytes", "items", "percent"]

_EVERY = 500
"""Number of items between two lines if there is no terminal for a bar."""


class Bar:
    """Safe to use from many threads."""

    def __init__(self, shown: Progress, what: str, total: int | None, prints_lines: bool) -> None:
        self._shown = shown
        self._task = shown.add_task(what, total=total)
        self._what = what
        self._total = total
        self._done = 0
        self._prints_lines = prints_lines
        self._lock = threading.Lock()

    def advance(self, count: int = 1) -> None:
        """`count` is negative if something starts again."""
        with self._lock:
            self._done += count
            if self._prints_lines and self._done % _EVERY == 0:
                print(f"{self._what}: {self._done:,} of {self._total:,}", file=sys.stderr)
        self._shown.advance(self._task, count)

    def update(self, done: int, total: int | None, what: str | None = None) -> None:
        self._shown.update(self._task, completed=done, total=total, description=what)


@contextmanager
def bars(
    unit: Unit, *, console: Console | None = None, is_transient: bool = False
) -> Iterator[Callable[[str, int | None], Bar]]:
    """Yields a function that makes a bar from a name and a total; None if the total is not known. Bars are
    shown on stderr unless another console is given, and disappear at the end if they are transient."""
    console = console or Console(stderr=True)
    is_shown = console.file.isatty()
    with Progress(*_columns(unit), console=console, disable=not is_shown, transient=is_transient) as shown:
        yield lambda what, total: Bar(shown, what, total, unit == "items" and not is_shown)


@contextmanager
def bar(
    what: str,
    total: int | None,
    unit: Unit = "items",
    *,
    console: Console | None = None,
    is_transient: bool = False,
) -> Iterator[Bar]:
    """Shows a single bar."""
    with bars(unit, console=console, is_transient=is_transient) as add:
        yield add(what, total)


def _columns(unit: Unit) -> list[ProgressColumn]:
    begin: list[ProgressColumn] = [TextColumn("{task.description}", markup=False), BarColumn()]
    end: dict[Unit, list[ProgressColumn]] = {
        "bytes": [DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()],
        "items": [MofNCompleteColumn(), TimeRemainingColumn()],
        "percent": [TaskProgressColumn()],
    }
    return begin + end[unit]
