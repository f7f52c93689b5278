"""The dataset compiler: turns a JSONL file into a Dataset and a list of problems. Deterministic."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from cluster.contracts.datasets import MAX_CLASSES, DatasetFormat, Problem
from cluster.contracts.errors import InvalidDataset
from cluster.contracts.jsonl import MAX_PROBLEMS, read_rows
from cluster.contracts.rows import Row, row_format
from cluster.storage.files import unobserved
from cluster.training.data.dataset import Dataset
from cluster.training.data.recipe import Recipe, as_problem, outcomes_of, wrong_format
from cluster.training.data.rendering import NO_CLASS, Renderer, Sample

_BATCH = 256
"""Number of rows that are rendered together: enough to keep the tokenizer's threads busy with little
memory."""


class Compiled(NamedTuple):
    dataset: Dataset | None
    """The rows without a problem; None if no example is left."""
    format: DatasetFormat | None
    problems: list[Problem]
    """The first MAX_PROBLEMS, by line. If there are any, the dataset must not be trained on."""
    longest: int
    """The number of tokens in the longest sequence, before the policy is applied."""


def compile_file(
    path: Path, tokenizer: Any, recipe: Recipe, on_progress: Callable[[], None] = unobserved
) -> Compiled:
    """Compiles the whole file, and calls `on_progress` now and then. Stops reading at a line that is not a
    row."""
    arrays = _Arrays()
    renderer = Renderer(tokenizer, max_length=recipe.max_length, class_names=recipe.class_names)
    problems: list[Problem] = []
    format: DatasetFormat | None = None
    longest = 0
    with path.open("rb") as stream:
        for batch in row_batches(stream):
            on_progress()
            if isinstance(batch, Problem):
                problems.append(batch)
                break
            lines, rows = batch
            if format is None:
                format = row_format(rows[0])
                if wrong := wrong_format(format, recipe):
                    problems.append(as_problem(lines[0], wrong))
                    break
            for line, sample in zip(lines, renderer.render(rows), strict=True):
                if isinstance(sample, Sample):
                    longest = max(longest, sample.full_length)
                if (found := arrays.add(line, sample, recipe)) and len(problems) < MAX_PROBLEMS:
                    problems.append(as_problem(line, found))
    dataset = None
    if format is not None and arrays.lines:
        dataset = arrays.dataset(format, renderer.class_names, keeps_classes=bool(recipe.class_names))
    if not problems:
        problems = _problems_of_the_whole(dataset, recipe)
    return Compiled(dataset, format, problems[:MAX_PROBLEMS], longest)


def row_batches(stream: BinaryIO) -> Iterator[tuple[list[int], list[Row]] | Problem]:
    """Yields line numbers with rows, then the problem of the line that is not a row, if there is one."""
    lines: list[int] = []
    rows: list[Row] = []
    line, problem = 0, None
    try:
        for line, row in read_rows(stream):
            lines.append(line)
            rows.append(row)
            if len(rows) == _BATCH:
                yield lines, rows
                lines, rows = [], []
    except InvalidDataset as error:
        # `read_rows` names the line in its message; every line before the broken one came as a row.
        problem = Problem(line=line + 1, code=error.code or "", message=error.message, param=error.param)
    if rows:
        yield lines, rows
    if problem is not None:
        yield problem


class _Arrays:
    """A Dataset that is being built. A token takes at most nine bytes, however many rows there are."""

    def __init__(self) -> None:
        self.lines = array("i")
        self._token_ids, self._class_ids = array("i"), array("i")
        self._mask = bytearray()
        self._offsets = array("q", [0])
        self._truncated: list[int] = []
        self._dropped: list[int] = []

    def add(self, line: int, sample: Sample | InvalidDataset, recipe: Recipe) -> InvalidDataset | None:
        """Adds the sample's examples as the policy says. Returns what is wrong with it, if anything."""
        outcomes = outcomes_of(sample, recipe)
        if isinstance(outcomes, InvalidDataset):
            return outcomes
        assert isinstance(sample, Sample)
        for example, outcome in zip(sample.examples(), outcomes, strict=True):
            if outcome == "dropped":
                self._dropped.append(line)
                continue
            if outcome == "truncated":
                self._truncated.append(line)
            self._add(line, example)
        return None

    def _add(self, line: int, example: Sample) -> None:
        self.lines.append(line)
        for token_ids, mask in example.sequences:
            self._token_ids.extend(token_ids)
            self._mask.extend(mask)
            self._offsets.append(len(self._token_ids))
        self._class_ids.extend(example.class_ids or ())

    def dataset(self, format: DatasetFormat, class_names: Sequence[str], *, keeps_classes: bool) -> Dataset:
        """Builds the dataset. Unless `keeps_classes`, only classes that an example has are kept, sorted by
        name."""
        class_ids = np.frombuffer(self._class_ids, dtype=np.int32) if self._class_ids else None
        if class_ids is not None and not keeps_classes:
            class_names, class_ids = _in_order_of_names(class_names, class_ids)
        return Dataset(
            format=format,
            token_ids=np.frombuffer(self._token_ids, dtype=np.int32),
            mask=np.frombuffer(self._mask, dtype=np.bool_),
            offsets=np.frombuffer(self._offsets, dtype=np.int64),
            lines=np.frombuffer(self.lines, dtype=np.int32),
            truncated_lines=self._truncated,
            dropped_lines=self._dropped,
            class_ids=class_ids,
            class_names=tuple(class_names),
        )


def _in_order_of_names(
    class_names: Sequence[str], class_ids: npt.NDArray[np.int32]
) -> tuple[list[str], npt.NDArray[np.int32]]:
    used = [int(number) for number in np.unique(class_ids) if number != NO_CLASS]
    used.sort(key=lambda number: class_names[number])
    # One more place at the end, so that NO_CLASS (-1) maps to itself.
    renumbered = np.full(len(class_names) + 1, NO_CLASS, dtype=np.int32)
    renumbered[used] = np.arange(len(used))
    return [class_names[number] for number in used], renumbered[class_ids]


def _problems_of_the_whole(dataset: Dataset | None, recipe: Recipe) -> list[Problem]:
    code = message = None
    if dataset is None:
        code, message = "nothing_to_learn", "No example is left to train on."
    elif dataset.class_ids is not None and not recipe.class_names:
        found = f"The file has {len(dataset.class_names)} class(es)"
        if len(dataset.class_names) < 2:
            code = "too_few_classes"
            message = f"{found}, {dataset.class_names[0]!r:.80}; a classifier needs at least 2."
        elif len(dataset.class_names) > MAX_CLASSES:
            code, message = "too_many_classes", f"{found}; at most {MAX_CLASSES} are allowed."
    return [] if code is None or message is None else [Problem(line=0, code=code, message=message)]
