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

from ..models.costs_result_quantity_unit_type_0 import (
    CostsResultQuantityUnitType0,
    check_costs_result_quantity_unit_type_0,
)

if TYPE_CHECKING:
    from ..models.cost_amount import CostAmount


T = TypeVar("T", bound="CostsResult")


@_attrs_define
class CostsResult:
    """
    Attributes:
        object_ (Literal['organization.costs.result']):  Default: 'organization.costs.result'.
        amount (CostAmount):
        line_item (None | str): The line item, such as `tunery-tiny-1, input_tokens`, if the costs are grouped by it.
        quantity (float | None): Quantity of the line item.
        quantity_unit (CostsResultQuantityUnitType0 | None):
        project_id (None | str):
        user_id (None | str): Always null: keys belong to projects, not to users.
        api_key_id (None | str):
    """

    amount: CostAmount
    line_item: None | str
    quantity: float | None
    quantity_unit: CostsResultQuantityUnitType0 | None
    project_id: None | str
    user_id: None | str
    api_key_id: None | str
    object_: Literal["organization.costs.result"] = "organization.costs.result"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        object_ = self.object_

        amount = self.amount.to_dict()

        line_item: None | str
        line_item = self.line_item

        quantity: float | None
        quantity = self.quantity

        quantity_unit: None | str
        if isinstance(self.quantity_unit, str):
            quantity_unit = self.quantity_unit
        else:
            quantity_unit = self.quantity_unit

        project_id: None | str
        project_id = self.project_id

        user_id: None | str
        user_id = self.user_id

        api_key_id: None | str
        api_key_id = self.api_key_id

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "object": object_,
                "amount": amount,
                "line_item": line_item,
                "quantity": quantity,
                "quantity_unit": quantity_unit,
                "project_id": project_id,
                "user_id": user_id,
                "api_key_id": api_key_id,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.cost_amount import CostAmount  # noqa: PLC0415

        d = dict(src_dict)
        object_ = cast(Literal["organization.costs.result"], d.pop("object"))
        if object_ != "organization.costs.result":
            raise ValueError(f"object must match const 'organization.costs.result', got '{object_}'")

        amount = CostAmount.from_dict(d.pop("amount"))

        def _parse_line_item(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        line_item = _parse_line_item(d.pop("line_item"))

        def _parse_quantity(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        quantity = _parse_quantity(d.pop("quantity"))

        def _parse_quantity_unit(data: object) -> CostsResultQuantityUnitType0 | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                quantity_unit_type_0 = check_costs_result_quantity_unit_type_0(data)

                return quantity_unit_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(CostsResultQuantityUnitType0 | None, data)

        quantity_unit = _parse_quantity_unit(d.pop("quantity_unit"))

        def _parse_project_id(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        project_id = _parse_project_id(d.pop("project_id"))

        def _parse_user_id(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        user_id = _parse_user_id(d.pop("user_id"))

        def _parse_api_key_id(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        api_key_id = _parse_api_key_id(d.pop("api_key_id"))

        costs_result = cls(
            object_=object_,
            amount=amount,
            line_item=line_item,
            quantity=quantity,
            quantity_unit=quantity_unit,
            project_id=project_id,
            user_id=user_id,
            api_key_id=api_key_id,
        )

        costs_result.additional_properties = d
        return costs_result

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
