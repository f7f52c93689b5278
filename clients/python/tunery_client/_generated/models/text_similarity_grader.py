from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

from ..models.text_similarity_grader_evaluation_metric import (
    TextSimilarityGraderEvaluationMetric,
    check_text_similarity_grader_evaluation_metric,
)
from ..types import UNSET, Unset

T = TypeVar("T", bound="TextSimilarityGrader")


@_attrs_define
class TextSimilarityGrader:
    """How alike two texts are, from 0 to 1.

    Attributes:
        type_ (Literal['text_similarity']):
        input_ (str): The text to grade, with templates such as `{{sample.output_text}}`.
        reference (str): What it is compared with, such as `{{item.answer}}`.
        evaluation_metric (TextSimilarityGraderEvaluationMetric): `cosine` needs an embedding model that the server's
            operator names.
        name (str | Unset):  Default: 'grader'.
    """

    type_: Literal["text_similarity"]
    input_: str
    reference: str
    evaluation_metric: TextSimilarityGraderEvaluationMetric
    name: str | Unset = "grader"

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        input_ = self.input_

        reference = self.reference

        evaluation_metric: str = self.evaluation_metric

        name = self.name

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
                "input": input_,
                "reference": reference,
                "evaluation_metric": evaluation_metric,
            }
        )
        if name is not UNSET:
            field_dict["name"] = name

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        type_ = cast(Literal["text_similarity"], d.pop("type"))
        if type_ != "text_similarity":
            raise ValueError(f"type must match const 'text_similarity', got '{type_}'")

        input_ = d.pop("input")

        reference = d.pop("reference")

        evaluation_metric = check_text_similarity_grader_evaluation_metric(d.pop("evaluation_metric"))

        name = d.pop("name", UNSET)

        text_similarity_grader = cls(
            type_=type_,
            input_=input_,
            reference=reference,
            evaluation_metric=evaluation_metric,
            name=name,
        )

        return text_similarity_grader
