from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.publish_fault import PublishFault


T = TypeVar("T", bound="JobPublishing")


@_attrs_define
class JobPublishing:
    """State of publishing. Whatever its outcome, training is complete and the weights are stored.

    Attributes:
        weights (str): The checkpoint with the trained weights, which can be downloaded with `GET
            /v1/models/{weights}/weights`.
        trained_at (int):
        tries (int): Failed attempts since publishing began or was last requested.
        next_try_at (int | None): When publishing will next be attempted. Null unless the job is waiting for that.
        last_fault (None | PublishFault): Why the last attempt failed. Null if no attempt has failed.
    """

    weights: str
    trained_at: int
    tries: int
    next_try_at: int | None
    last_fault: None | PublishFault
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.publish_fault import PublishFault  # noqa: PLC0415

        weights = self.weights

        trained_at = self.trained_at

        tries = self.tries

        next_try_at: int | None
        next_try_at = self.next_try_at

        last_fault: dict[str, Any] | None
        if isinstance(self.last_fault, PublishFault):
            last_fault = self.last_fault.to_dict()
        else:
            last_fault = self.last_fault

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "weights": weights,
                "trained_at": trained_at,
                "tries": tries,
                "next_try_at": next_try_at,
                "last_fault": last_fault,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.publish_fault import PublishFault  # noqa: PLC0415

        d = dict(src_dict)
        weights = d.pop("weights")

        trained_at = d.pop("trained_at")

        tries = d.pop("tries")

        def _parse_next_try_at(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        next_try_at = _parse_next_try_at(d.pop("next_try_at"))

        def _parse_last_fault(data: object) -> None | PublishFault:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                last_fault_type_0 = PublishFault.from_dict(data)

                return last_fault_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | PublishFault, data)

        last_fault = _parse_last_fault(d.pop("last_fault"))

        job_publishing = cls(
            weights=weights,
            trained_at=trained_at,
            tries=tries,
            next_try_at=next_try_at,
            last_fault=last_fault,
        )

        job_publishing.additional_properties = d
        return job_publishing

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
