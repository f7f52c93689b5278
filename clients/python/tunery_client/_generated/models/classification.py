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
    from ..models.classified_text import ClassifiedText
    from ..models.classified_words import ClassifiedWords
    from ..models.input_usage import InputUsage


T = TypeVar("T", bound="Classification")


@_attrs_define
class Classification:
    """
    Attributes:
        id (str):
        object_ (Literal['classification']):  Default: 'classification'.
        created (int): Unix seconds.
        model (str):
        data (list[ClassifiedText | ClassifiedWords]): One result per input, in the order of the inputs.
        usage (InputUsage): Tokens of all inputs. No text is generated.
    """

    id: str
    created: int
    model: str
    data: list[ClassifiedText | ClassifiedWords]
    usage: InputUsage
    object_: Literal["classification"] = "classification"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.classified_text import ClassifiedText  # noqa: PLC0415

        id = self.id

        object_ = self.object_

        created = self.created

        model = self.model

        data = []
        for data_item_data in self.data:
            data_item: dict[str, Any]
            if isinstance(data_item_data, ClassifiedText):
                data_item = data_item_data.to_dict()
            else:
                data_item = data_item_data.to_dict()

            data.append(data_item)

        usage = self.usage.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "object": object_,
                "created": created,
                "model": model,
                "data": data,
                "usage": usage,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.classified_text import ClassifiedText  # noqa: PLC0415
        from ..models.classified_words import ClassifiedWords  # noqa: PLC0415
        from ..models.input_usage import InputUsage  # noqa: PLC0415

        d = dict(src_dict)
        id = d.pop("id")

        object_ = cast(Literal["classification"], d.pop("object"))
        if object_ != "classification":
            raise ValueError(f"object must match const 'classification', got '{object_}'")

        created = d.pop("created")

        model = d.pop("model")

        data = []
        _data = d.pop("data")
        for data_item_data in _data:

            def _parse_data_item(data: object) -> ClassifiedText | ClassifiedWords:
                try:
                    if not isinstance(data, dict):
                        raise TypeError()
                    data_item_type_0 = ClassifiedText.from_dict(data)

                    return data_item_type_0
                except (TypeError, ValueError, AttributeError, KeyError):
                    pass
                if not isinstance(data, dict):
                    raise TypeError()
                data_item_type_1 = ClassifiedWords.from_dict(data)

                return data_item_type_1

            data_item = _parse_data_item(data_item_data)

            data.append(data_item)

        usage = InputUsage.from_dict(d.pop("usage"))

        classification = cls(
            id=id,
            object_=object_,
            created=created,
            model=model,
            data=data,
            usage=usage,
        )

        classification.additional_properties = d
        return classification

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
