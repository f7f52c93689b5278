"""Compares before and after: the metrics of an old job and of its replacement, and their answers to the same
rows of the validation file side by side."""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any

from service.cli.failures import Refused
from service.cli.import_openai.archive.archive import Archive
from service.cli.import_openai.archive.metrics import old_metrics
from service.cli.import_openai.compare.grading import grade
from service.cli.import_openai.compare.markdown import block, cell, table
from service.cli.import_openai.harvest.answers_file import AnswersFile, Row
from service.cli.import_openai.harvest.asking import (
    DEFAULT_MAX_TOKENS,
    ask_fitting,
    digest_of,
    limit_of,
    request_of,
)
from service.cli.import_openai.harvest.harvests import request_key, rows_by_request
from service.cli.import_openai.harvest.prompts import Prompt, read_prompts, text_of
from service.cli.import_openai.source.client import Source
from service.cli.lookups import quoted

_WHO = ("old", "base", "new")
_HEADINGS = {"old": "Old model", "base": "Base", "new": "New model"}


@dataclass(frozen=True)
class Replacement:
    """An old job, and the new job that succeeded in its place."""

    job: Mapping[str, Any]
    model: str
    """The new model."""
    base: str
    evaluation: Mapping[str, Any] | None
    """Evaluation of the new model, as the API returns it."""


def replacement(source: Source, job: Mapping[str, Any], model: str) -> Replacement:
    found = source.get(f"/models/{quoted(model)}")["tunery"]
    return Replacement(job, model, found["base"], found["evaluation"])


def side_by_side(
    source: Source,
    archive: Archive,
    replaced: Replacement,
    file: AnswersFile,
    *,
    num_rows: int,
    max_tokens: int | None,
    metric: str,
    workers: int,
    advance: Callable[[], None],
) -> list[Row]:
    """Answers of the base and of the new model to the first rows of the validation file, with the old model's
    answers if they were harvested, each graded against the file's own answer. If `max_tokens` is None, each
    answer has the same limit as the old model's. Empty if the job has no validation file."""
    path = archive.content(replaced.job.get("validation_file"))
    if path is None:
        return []
    old_model = str(replaced.job.get("fine_tuned_model"))
    harvested = rows_by_request(archive, old_model)
    tasks = []
    for prompt in itertools.islice(read_prompts(path), num_rows):
        row = harvested.get(request_key(request_of(prompt, old_model, DEFAULT_MAX_TOKENS)), {})
        limit = max_tokens or limit_of(row.get("request", {})) or DEFAULT_MAX_TOKENS
        request = request_of(prompt, old_model, limit)
        old = row.get("answer")
        id = digest_of(replaced.model, {"request": request, "old": old, "metric": metric})
        tasks.append((id, partial(_row, source, replaced, request, prompt, old, metric)))
    file.forget_errors()
    file.fill(tasks, workers=workers, advance=advance)
    return [file.rows[id] for id, _ in tasks]


def summary(archive: Archive, replaced: Replacement, rows: Sequence[Row]) -> dict[str, Any]:
    held_out = (replaced.evaluation or {}).get("held_out") or {}
    return {
        "job": replaced.job["id"],
        "old_model": replaced.job.get("fine_tuned_model"),
        "model": replaced.model,
        "base": replaced.base,
        "old_metrics": old_metrics(archive, replaced.job),
        "evaluation": replaced.evaluation,
        "held_out": held_out,
        "rows": len(rows),
        "ungraded": sum(each is None for row in rows for each in row["scores"].values()),
        "exact": {who: _mean(rows, who, "exact") for who in _WHO},
        "similarity": {who: _mean(rows, who, "similarity") for who in _WHO},
    }


def report(found: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """The report in Markdown."""
    return "\n\n".join(_parts(found, rows)) + "\n"


def _parts(found: Mapping[str, Any], rows: Sequence[Row]) -> Iterator[str]:
    old, held_out = found["old_metrics"], found["held_out"]
    yield f"# {cell(found['old_model'] or found['job'])}"
    yield f"Replaced by `{found['model']}`, tuned from `{found['base']}`. The old job is `{found['job']}`."
    valid_loss = old.get("full_valid_loss", old.get("valid_loss"))
    accuracy = old.get("full_valid_mean_token_accuracy", old.get("valid_mean_token_accuracy"))
    measured = [
        ("loss on the validation file", valid_loss, held_out.get("base_loss"), held_out.get("tuned_loss")),
        ("token accuracy", accuracy, held_out.get("base_accuracy"), held_out.get("tuned_accuracy")),
        ("last training loss", old.get("train_loss"), None, None),
    ]
    for name, key in (("answers as in the file", "exact"), ("likeness to the file's answers", "similarity")):
        measured.append((name, *(found[key][who] for who in _WHO)))
    yield table(("", *_HEADINGS.values()), measured)
    yield (
        "A loss counts per token of the model's own tokenizer: compare the base's with the new model's, and "
        "neither with the old one's. Answers can be compared across all three."
    )
    if found["ungraded"]:
        yield f"{found['ungraded']:,} answers could not be graded, and count in neither."
    if not rows:
        yield "The job has no validation file in the archive, so that no answers could be compared."
    for number, row in enumerate(rows, 1):
        yield f"## Row {number}"
        yield block(_asked(row["request"]))
        if row.get("reference") is not None:
            yield "**The file's answer**"
            yield block(row["reference"])
        for who in _WHO:
            if row.get(who) is not None:
                yield f"**{_HEADINGS[who]}**"
                yield block(row[who])
            elif f"{who}_error" in row:
                yield f"**{_HEADINGS[who]}** refused to answer:"
                yield block(row[f"{who}_error"])


def _row(
    source: Source, replaced: Replacement, request: Row, prompt: Prompt, old: str | None, metric: str
) -> Row:
    answers: dict[str, Any] = {"old": old}
    for who, model in (("base", replaced.base), ("new", replaced.model)):
        try:
            answers[who] = ask_fitting(source, model, request)["answer"]
        except Refused as error:
            if not error.is_about_the_request:
                raise
            answers["error"] = answers[f"{who}_error"] = str(error)
    reference = prompt.reference
    graded = {
        who: grade(source, text, reference, metric)
        for who in _WHO
        if reference is not None and (text := answers.get(who)) is not None
    }
    # None stands for an answer that the server could not grade.
    return {"request": request, "reference": reference, **answers, "scores": graded}


def _mean(rows: Sequence[Row], who: str, score: str) -> float | None:
    found = [row["scores"][who][score] for row in rows if row["scores"].get(who)]
    return fmean(found) if found else None


def _asked(request: Mapping[str, Any]) -> str:
    if "messages" not in request:
        return str(request.get("prompt"))
    return "\n".join(f"{each.get('role')}: {text_of(each)}" for each in request["messages"])


def comparison_report(found: Mapping[str, Any], old_model: str, rows: Sequence[Row]) -> str:
    """The report of a comparison in Markdown; `rows` are ordered worst first."""
    agreements = (
        ("with_old", "new with old"),
        ("old_with_reference", "old with the data's"),
        ("new_with_reference", "new with the data's"),
    )
    lines = [
        (
            name,
            found[key] and found[key]["n"],
            found[key] and found[key]["exact"],
            found[key] and found[key]["similarity"],
        )
        for key, name in agreements
    ]
    parts = [
        f"# {cell(old_model)} and {cell(found['model'])}",
        table(("Answers", "Number", "The same", f"Likeness ({found['metric']})"), lines),
        "The answers that differ most come first.",
    ]
    if found["ungraded"]:
        parts.insert(2, f"{found['ungraded']:,} could not be graded, and are not shown.")
    for row in rows:
        parts += [f"## {row['id']}", block(_asked(row["request"]))]
        texts = (
            ("Old model", row["old"]),
            ("New model", row["new"]),
            ("The data's answer", row.get("reference")),
        )
        for name, text in texts:
            if text is not None:
                parts += [f"**{name}**", block(json.dumps(text) if not isinstance(text, str) else text)]
    return "\n\n".join(parts) + "\n"
