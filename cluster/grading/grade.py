"""Grades one answer of a model. Pure and fast: reinforcement training can call it for every sample.

The metric `cosine` compares embeddings, which the caller makes between `texts_to_embed` and `grade`."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import orjson

from cluster.grading.formula import FormulaError
from cluster.grading.graders import MultiGrader, StringCheckGrader, TextSimilarityGrader
from cluster.grading.similarity import METRICS
from cluster.grading.templates import MAX_TEXT, MissingVariable, TextTooLong, render

Fault = Literal["sample_parse_error", "invalid_variable_error", "other_error"]
"""sample_parse_error: a template needs the answer to be JSON, and it is not. invalid_variable_error: a
template names something that the item or the answer does not have. other_error: the formula has no finite
value, or a text is too long."""

AnyGrader = StringCheckGrader | TextSimilarityGrader | MultiGrader
Embeddings = Mapping[str, Sequence[float]]
"""Vectors of length 1, by text."""


@dataclass(frozen=True, slots=True)
class Grade:
    """A reward, which is 0 if anything went wrong."""

    reward: float
    sub_rewards: Mapping[str, float] = field(default_factory=dict)
    """Rewards of the graders in a multi grader."""
    faults: frozenset[Fault] = frozenset()
    details: str | None = None
    """Description of the first fault."""


@dataclass(frozen=True)
class Sample:
    """An answer of a model."""

    text: str

    @cached_property
    def variables(self) -> Mapping[str, Any]:
        """Variables that templates can read: `output_text`, and `output_json` if the answer is JSON."""
        try:
            return {"output_text": self.text, "output_json": orjson.loads(self.text)}
        except orjson.JSONDecodeError:
            return {"output_text": self.text}


class _Failed(Exception):
    def __init__(self, fault: Fault, details: str) -> None:
        super().__init__(details)
        self.fault: Fault = fault
        self.details = details


def cosine_graders(grader: AnyGrader) -> Mapping[str, TextSimilarityGrader]:
    """Returns the graders in `grader` that compare embeddings, by their place in it: "" for itself."""
    graders = grader.graders if isinstance(grader, MultiGrader) else {"": grader}
    return {
        name: one
        for name, one in graders.items()
        if isinstance(one, TextSimilarityGrader) and one.evaluation_metric == "cosine"
    }


def texts_to_embed(grader: AnyGrader, item: Mapping[str, Any], sample: Sample) -> frozenset[str]:
    """Returns the texts whose embeddings `grade` needs: none if nothing compares embeddings. Templates
    without a text are left for `grade` to report."""
    found: set[str] = set()
    for one in cosine_graders(grader).values():
        with suppress(_Failed):
            found.update(_texts(one, item, sample))
    return frozenset(found - {""})


def grade(
    grader: AnyGrader, item: Mapping[str, Any], sample: Sample, embeddings: Embeddings | None = None
) -> Grade:
    """Grades the sample. `item` is the row of the data set. `embeddings` has those of `texts_to_embed`; a
    missing text is longer than the embedding model accepts."""
    known = embeddings or {}
    if not isinstance(grader, MultiGrader):
        return _grade_one(grader, item, sample, known)
    grades = {name: _grade_one(one, item, sample, known) for name, one in grader.graders.items()}
    scores = {name: one.reward for name, one in grades.items()}
    faults = frozenset[Fault]().union(*(one.faults for one in grades.values()))
    details = next((one.details for one in grades.values() if one.details), None)
    try:
        # A grader that failed counts as 0 in the formula.
        return Grade(grader.formula(scores), scores, faults, details)
    except FormulaError as error:
        return Grade(0.0, scores, faults | {"other_error"}, details or f"calculate_output {error}.")


def _grade_one(
    grader: StringCheckGrader | TextSimilarityGrader,
    item: Mapping[str, Any],
    sample: Sample,
    embeddings: Embeddings,
) -> Grade:
    try:
        text, reference = _texts(grader, item, sample)
        if isinstance(grader, StringCheckGrader):
            return Grade(float(_holds(grader.operation, text, reference)))
        if grader.evaluation_metric == "cosine":
            return Grade(_cosine(text, reference, embeddings))
        return Grade(METRICS[grader.evaluation_metric](text, reference))
    except _Failed as failed:
        return Grade(0.0, faults=frozenset({failed.fault}), details=f"{grader.name}: {failed.details}")


def _texts(
    grader: StringCheckGrader | TextSimilarityGrader, item: Mapping[str, Any], sample: Sample
) -> tuple[str, str]:
    """Returns the graded text and its reference. Raises _Failed."""
    return _render(grader.input, item, sample), _render(grader.reference, item, sample)


def _cosine(text: str, reference: str, embeddings: Embeddings) -> float:
    """Returns the cosine of the angle between the embeddings; 0 if it is negative."""
    if not text or not reference:
        return float(text == reference)
    try:
        vectors = embeddings[text], embeddings[reference]
    except KeyError as error:
        raise _Failed("other_error", "a text is too long for the embedding model.") from error
    return min(1.0, max(0.0, sum(left * right for left, right in zip(*vectors, strict=True))))


def _holds(operation: str, text: str, reference: str) -> bool:
    match operation:
        case "eq":
            return text == reference
        case "ne":
            return text != reference
        case "like":
            return reference in text
    return reference.casefold() in text.casefold()


def _render(template: str, item: Mapping[str, Any], sample: Sample) -> str:
    try:
        return render(template, {"item": item, "sample": sample.variables})
    except MissingVariable as missing:
        if missing.path.startswith("sample.output_json") and "output_json" not in sample.variables:
            raise _Failed("sample_parse_error", "the sample is not JSON.") from missing
        raise _Failed("invalid_variable_error", f"there is no {missing.path}.") from missing
    except TextTooLong as error:
        reason = f"a text has more than {MAX_TEXT} characters, or nests too deep."
        raise _Failed("other_error", reason) from error
