"""Grades one answer of a model. Pure and fast: reinforcement training can call it for every sample."""

from collections.abc import Mapping
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
template names what the item or the answer does not have. other_error: the formula has no finite value, or a
text is too long."""


@dataclass(frozen=True, slots=True)
class Grade:
    """A reward, which is 0 if anything went wrong."""

    reward: float
    sub_rewards: Mapping[str, float] = field(default_factory=dict)
    """Of the graders in a multi grader."""
    faults: frozenset[Fault] = frozenset()
    details: str | None = None
    """The first fault in words."""


@dataclass(frozen=True)
class Sample:
    """An answer of a model."""

    text: str

    @cached_property
    def variables(self) -> Mapping[str, Any]:
        """What templates see: `output_text`, and `output_json` if the answer is JSON."""
        try:
            return {"output_text": self.text, "output_json": orjson.loads(self.text)}
        except orjson.JSONDecodeError:
            return {"output_text": self.text}


class _Failed(Exception):
    def __init__(self, fault: Fault, details: str) -> None:
        super().__init__(details)
        self.fault: Fault = fault
        self.details = details


def grade(
    grader: StringCheckGrader | TextSimilarityGrader | MultiGrader, item: Mapping[str, Any], sample: Sample
) -> Grade:
    """`item` is the row of the data set."""
    if not isinstance(grader, MultiGrader):
        return _grade_one(grader, item, sample)
    grades = {name: _grade_one(one, item, sample) for name, one in grader.graders.items()}
    scores = {name: one.reward for name, one in grades.items()}
    faults = frozenset[Fault]().union(*(one.faults for one in grades.values()))
    details = next((one.details for one in grades.values() if one.details), None)
    try:
        # A grader that could not grade counts 0 in the formula.
        return Grade(grader.formula(scores), scores, faults, details)
    except FormulaError as error:
        return Grade(0.0, scores, faults | {"other_error"}, details or f"calculate_output {error}.")


def _grade_one(
    grader: StringCheckGrader | TextSimilarityGrader, item: Mapping[str, Any], sample: Sample
) -> Grade:
    try:
        text = _render(grader.input, item, sample)
        reference = _render(grader.reference, item, sample)
    except _Failed as failed:
        return Grade(0.0, faults=frozenset({failed.fault}), details=f"{grader.name}: {failed.details}")
    if isinstance(grader, StringCheckGrader):
        return Grade(float(_holds(grader.operation, text, reference)))
    return Grade(METRICS[grader.evaluation_metric](text, reference))


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
