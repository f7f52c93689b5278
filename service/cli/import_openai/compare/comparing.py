"""Sends a replacement the requests that the old model received, and grades its answers against the old
ones."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any

from service.cli.failures import Refused
from service.cli.import_openai.compare.grading import grade
from service.cli.import_openai.harvest.answers_file import AnswersFile, Row
from service.cli.import_openai.harvest.asking import ask_fitting, limited
from service.cli.import_openai.source.client import Source

_PAIRS = ("with_old", "old_with_reference", "new_with_reference")


@dataclass(frozen=True)
class Agreement:
    """How well two sets of texts agree, on average."""

    n: int
    exact: float
    """The share of texts that are identical."""
    similarity: float


@dataclass(frozen=True)
class Compared:
    model: str
    """The new model."""
    metric: str
    with_old: Agreement | None
    """Agreement of the new answers with the old ones. None if nothing was compared."""
    old_with_reference: Agreement | None
    """Agreement of the old answers with the answers in the data. None if the data has none."""
    new_with_reference: Agreement | None
    refused: int
    """Number of requests that the replacement refused."""
    refusal: str | None
    """The most frequent reason for a refusal."""
    ungraded: int
    """Number of requests with an answer that the server could not grade. They are left out of the
    averages."""


def compare(
    source: Source,
    model: str,
    harvested: Sequence[Row],
    file: AnswersFile,
    *,
    metric: str,
    max_tokens: int | None,
    workers: int,
    advance: Callable[[], None],
) -> Compared:
    """`harvested` are rows with an `answer`. A request that is in `file` is not sent again, unless it was
    refused. If `max_tokens` is None, each answer has the same limit as the old model's."""
    file.forget_errors()
    tasks = ((row["id"], partial(_compared, source, model, row, metric, max_tokens)) for row in harvested)
    file.fill(tasks, workers=workers, advance=advance)
    rows = [file.rows[row["id"]] for row in harvested]
    refusals = Counter(row["error"]["message"] for row in rows if "error" in row)
    return Compared(
        model,
        metric,
        _agreement(rows, "with_old"),
        _agreement(rows, "old_with_reference"),
        _agreement(rows, "new_with_reference"),
        refusals.total(),
        most_frequent(refusals),
        sum(any(row.get(what, ...) is None for what in _PAIRS) for row in rows),
    )


def worst_first(rows: Sequence[Row]) -> list[Row]:
    """The rows, starting with those whose new answer is least similar to the old one."""
    return sorted((row for row in rows if row.get("with_old")), key=lambda row: row["with_old"]["similarity"])


def most_frequent(reasons: Counter[str]) -> str | None:
    return reasons.most_common(1)[0][0] if reasons else None


def _compared(source: Source, model: str, row: Row, metric: str, max_tokens: int | None) -> Row:
    kept: Mapping[str, Any] = {name: row.get(name) for name in ("request", "reference")}
    old = row["answer"]
    try:
        new = ask_fitting(source, model, limited(row["request"], max_tokens))["answer"]
    except Refused as error:
        if not error.is_about_the_request:
            raise
        return {**kept, "old": old, "error": {"status": error.status, "message": str(error)}}
    # None stands for a pair that the server could not grade.
    graded = {"with_old": grade(source, new, old, metric)}
    if isinstance(reference := row.get("reference"), str):
        graded["old_with_reference"] = grade(source, old, reference, metric)
        graded["new_with_reference"] = grade(source, new, reference, metric)
    return {**kept, "old": old, "new": new, **graded}


def _agreement(rows: Sequence[Row], what: str) -> Agreement | None:
    graded = [row[what] for row in rows if row.get(what)]
    if not graded:
        return None
    means = (fmean(each[score] for each in graded) for score in ("exact", "similarity"))
    return Agreement(len(graded), *means)
