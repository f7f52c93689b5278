from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.class_scores import ClassScores


T = TypeVar("T", bound="ClassifiedText")


@_attrs_define
class ClassifiedText:
    """
    Attributes:
        index (int): Index of the input.
        label (str): The most likely class.
        score (float): The label's probability.
        scores (ClassScores):
    """

    index: int
    label: str
    score: float
    scores: ClassScores
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        index = self.index

        label = self.label

        score = self.score

        scores = self.scores.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "index": index,
                "label": label,
                "score": score,
                "scores": scores,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.class_scores import ClassScores  # noqa: PLC0415

        d = dict(src_dict)
        index = d.pop("index")

        label = d.pop("label")

        score = d.pop("score")

        scores = ClassScores.from_dict(d.pop("scores"))

        classified_text = cls(
            index=index,
            label=label,
            score=score,
            scores=scores,
        )

        classified_text.additional_properties = d
        return classified_text

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
