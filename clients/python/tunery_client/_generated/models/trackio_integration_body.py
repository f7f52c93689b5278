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

if TYPE_CHECKING:
    from ..models.trackio_options import TrackioOptions


T = TypeVar("T", bound="TrackioIntegrationBody")


@_attrs_define
class TrackioIntegrationBody:
    """Shows the job's metrics in trackio while it runs.

    Attributes:
        type_ (Literal['trackio']):
        trackio (TrackioOptions): Where in trackio the job's run is shown.
    """

    type_: Literal["trackio"]
    trackio: TrackioOptions

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        trackio = self.trackio.to_dict()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
                "trackio": trackio,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.trackio_options import TrackioOptions  # noqa: PLC0415

        d = dict(src_dict)
        type_ = cast(Literal["trackio"], d.pop("type"))
        if type_ != "trackio":
            raise ValueError(f"type must match const 'trackio', got '{type_}'")

        trackio = TrackioOptions.from_dict(d.pop("trackio"))

        trackio_integration_body = cls(
            type_=type_,
            trackio=trackio,
        )

        return trackio_integration_body
