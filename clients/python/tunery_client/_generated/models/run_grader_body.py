from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.json_object import JsonObject
    from ..models.multi_grader import MultiGrader
    from ..models.string_check_grader import StringCheckGrader
    from ..models.text_similarity_grader import TextSimilarityGrader


T = TypeVar("T", bound="RunGraderBody")


@_attrs_define
class RunGraderBody:
    """
    Attributes:
        grader (MultiGrader | StringCheckGrader | TextSimilarityGrader):
        model_sample (str): The answer to grade: `sample.output_text`, and `sample.output_json` if it is JSON.
        item (JsonObject | None | Unset): The row of the data set: `item`.
    """

    grader: MultiGrader | StringCheckGrader | TextSimilarityGrader
    model_sample: str
    item: JsonObject | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        from ..models.json_object import JsonObject  # noqa: PLC0415
        from ..models.string_check_grader import StringCheckGrader  # noqa: PLC0415
        from ..models.text_similarity_grader import TextSimilarityGrader  # noqa: PLC0415

        grader: dict[str, Any]
        if isinstance(self.grader, StringCheckGrader):
            grader = self.grader.to_dict()
        elif isinstance(self.grader, TextSimilarityGrader):
            grader = self.grader.to_dict()
        else:
            grader = self.grader.to_dict()

        model_sample = self.model_sample

        item: dict[str, Any] | None | Unset
        if isinstance(self.item, Unset):
            item = UNSET
        elif isinstance(self.item, JsonObject):
            item = self.item.to_dict()
        else:
            item = self.item

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "grader": grader,
                "model_sample": model_sample,
            }
        )
        if item is not UNSET:
            field_dict["item"] = item

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.json_object import JsonObject  # noqa: PLC0415
        from ..models.multi_grader import MultiGrader  # noqa: PLC0415
        from ..models.string_check_grader import StringCheckGrader  # noqa: PLC0415
        from ..models.text_similarity_grader import TextSimilarityGrader  # noqa: PLC0415

        d = dict(src_dict)

        def _parse_grader(data: object) -> MultiGrader | StringCheckGrader | TextSimilarityGrader:
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_grader_type_0 = StringCheckGrader.from_dict(data)

                return componentsschemas_grader_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_grader_type_1 = TextSimilarityGrader.from_dict(data)

                return componentsschemas_grader_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            if not isinstance(data, dict):
                raise TypeError()
            componentsschemas_grader_type_2 = MultiGrader.from_dict(data)

            return componentsschemas_grader_type_2

        grader = _parse_grader(d.pop("grader"))

        model_sample = d.pop("model_sample")

        def _parse_item(data: object) -> JsonObject | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                item_type_0 = JsonObject.from_dict(data)

                return item_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(JsonObject | None | Unset, data)

        item = _parse_item(d.pop("item", UNSET))

        run_grader_body = cls(
            grader=grader,
            model_sample=model_sample,
            item=item,
        )

        return run_grader_body
