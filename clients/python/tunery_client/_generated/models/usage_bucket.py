from __future__ import annotations

from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.classifications_usage import ClassificationsUsage
    from ..models.completions_usage import CompletionsUsage
    from ..models.costs_result import CostsResult
    from ..models.embeddings_usage import EmbeddingsUsage
    from ..models.fine_tuning_usage import FineTuningUsage


T = TypeVar("T", bound="UsageBucket")


@_attrs_define
class UsageBucket:
    """
    Attributes:
        object_ (Literal['bucket']):  Default: 'bucket'.
        start_time (int):
        end_time (int):
        results (list[ClassificationsUsage | CompletionsUsage | CostsResult | EmbeddingsUsage | FineTuningUsage]): Empty
            without usage.
    """

    start_time: int
    end_time: int
    results: list[ClassificationsUsage | CompletionsUsage | CostsResult | EmbeddingsUsage | FineTuningUsage]
    object_: Literal["bucket"] = "bucket"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.classifications_usage import ClassificationsUsage  # noqa: PLC0415
        from ..models.completions_usage import CompletionsUsage  # noqa: PLC0415
        from ..models.embeddings_usage import EmbeddingsUsage  # noqa: PLC0415
        from ..models.fine_tuning_usage import FineTuningUsage  # noqa: PLC0415

        object_ = self.object_

        start_time = self.start_time

        end_time = self.end_time

        results = []
        for results_item_data in self.results:
            results_item: dict[str, Any]
            if isinstance(results_item_data, CompletionsUsage):
                results_item = results_item_data.to_dict()
            elif isinstance(results_item_data, EmbeddingsUsage):
                results_item = results_item_data.to_dict()
            elif isinstance(results_item_data, ClassificationsUsage):
                results_item = results_item_data.to_dict()
            elif isinstance(results_item_data, FineTuningUsage):
                results_item = results_item_data.to_dict()
            else:
                results_item = results_item_data.to_dict()

            results.append(results_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "object": object_,
                "start_time": start_time,
                "end_time": end_time,
                "results": results,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.classifications_usage import ClassificationsUsage  # noqa: PLC0415
        from ..models.completions_usage import CompletionsUsage  # noqa: PLC0415
        from ..models.costs_result import CostsResult  # noqa: PLC0415
        from ..models.embeddings_usage import EmbeddingsUsage  # noqa: PLC0415
        from ..models.fine_tuning_usage import FineTuningUsage  # noqa: PLC0415

        d = dict(src_dict)
        object_ = cast(Literal["bucket"], d.pop("object"))
        if object_ != "bucket":
            raise ValueError(f"object must match const 'bucket', got '{object_}'")

        start_time = d.pop("start_time")

        end_time = d.pop("end_time")

        results = []
        _results = d.pop("results")
        for results_item_data in _results:

            def _parse_results_item(
                data: object,
            ) -> ClassificationsUsage | CompletionsUsage | CostsResult | EmbeddingsUsage | FineTuningUsage:
                try:
                    if not isinstance(data, dict):
                        raise TypeError()
                    results_item_type_0 = CompletionsUsage.from_dict(data)

                    return results_item_type_0
                except (TypeError, ValueError, AttributeError, KeyError):
                    pass
                try:
                    if not isinstance(data, dict):
                        raise TypeError()
                    results_item_type_1 = EmbeddingsUsage.from_dict(data)

                    return results_item_type_1
                except (TypeError, ValueError, AttributeError, KeyError):
                    pass
                try:
                    if not isinstance(data, dict):
                        raise TypeError()
                    results_item_type_2 = ClassificationsUsage.from_dict(data)

                    return results_item_type_2
                except (TypeError, ValueError, AttributeError, KeyError):
                    pass
                try:
                    if not isinstance(data, dict):
                        raise TypeError()
                    results_item_type_3 = FineTuningUsage.from_dict(data)

                    return results_item_type_3
                except (TypeError, ValueError, AttributeError, KeyError):
                    pass
                if not isinstance(data, dict):
                    raise TypeError()
                results_item_type_4 = CostsResult.from_dict(data)

                return results_item_type_4

            results_item = _parse_results_item(results_item_data)

            results.append(results_item)

        usage_bucket = cls(
            object_=object_,
            start_time=start_time,
            end_time=end_time,
            results=results,
        )

        usage_bucket.additional_properties = d
        return usage_bucket

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
