"""A JSONL file that grows by one line per answer. However a run ends, another one can continue it."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from service.cli.import_openai.archive.archive import encoded_line, read_lines

Row = Mapping[str, Any]
Task = tuple[str, Callable[[], Row]]
"""The id of a line, and a function that returns the rest of it. An error that the function raises ends the
run."""


class AnswersFile:
    def __init__(self, path: Path) -> None:
        self.path = path
        _cut_broken_line(path)
        self.rows: dict[str, Row] = {row["id"]: row for row in read_lines(path)} if path.exists() else {}
        """Rows by id."""

    def forget_errors(self) -> None:
        """Makes `fill` recreate the lines with an `error`."""
        self.rows = {id: row for id, row in self.rows.items() if "error" not in row}

    def fill(
        self,
        tasks: Iterable[Task],
        *,
        workers: int,
        may_ask: Callable[[], bool] = lambda: True,
        advance: Callable[[], None] = lambda: None,
    ) -> None:
        """Runs the tasks whose lines are missing, at most `workers` at a time, and each only if `may_ask`
        allows it when its turn comes. When one fails, the tasks that have started are finished and kept."""
        todo = self._todo(tasks, advance)
        running: dict[Future[Row], str] = {}
        with ThreadPoolExecutor(workers) as pool, self.path.open("ab") as file:
            try:
                while True:
                    for id, task in itertools.islice(todo, workers - len(running)) if may_ask() else ():
                        running[pool.submit(task)] = id
                    if not running:
                        return
                    self._take(running, file.write)
                    file.flush()
                    advance()
            finally:
                while running:
                    try:
                        self._take(running, file.write)
                    except Exception:  # noqa: S112 - the first failure is the one that is reported
                        continue

    def _todo(self, tasks: Iterable[Task], advance: Callable[[], None]) -> Iterator[Task]:
        begun = set(self.rows)
        for id, task in tasks:
            if id in begun:
                advance()
            else:
                begun.add(id)
                yield id, task

    def _take(self, running: dict[Future[Row], str], write: Callable[[bytes], object]) -> None:
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        future = done.pop()
        id = running.pop(future)
        row = {"id": id, **future.result()}
        self.rows[id] = row
        write(encoded_line(row))


def _cut_broken_line(path: Path) -> None:
    """Removes the incomplete last line that a killed run has left."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        end = whole = 0
        for line in file:
            end += len(line)
            if line.endswith(b"\n"):
                whole = end
        file.truncate(whole)
