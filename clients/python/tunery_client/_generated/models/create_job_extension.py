from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.create_job_extension_priority import (
    CreateJobExtensionPriority,
    check_create_job_extension_priority,
)
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.mlflow_integration_body import MlflowIntegrationBody
    from ..models.tensorboard_integration_body import TensorboardIntegrationBody
    from ..models.trackio_integration_body import TrackioIntegrationBody


T = TypeVar("T", bound="CreateJobExtension")


@_attrs_define
class CreateJobExtension:
    """
    Attributes:
        integrations (list[MlflowIntegrationBody | TensorboardIntegrationBody | TrackioIntegrationBody] | None | Unset):
            Integrations in addition to OpenAI's: MLflow, trackio and files for TensorBoard. At most one of a
            type.
        priority (CreateJobExtensionPriority | Unset): Jobs of a higher priority start first, and may have running ones
            of a lower priority pause. `high`
            needs the project's right to it. Default: 'normal'.
        start_by (int | None | Unset): Unix seconds. The job fails if it has not started by then.
    """

    integrations: (
        list[MlflowIntegrationBody | TensorboardIntegrationBody | TrackioIntegrationBody] | None | Unset
    ) = UNSET
    priority: CreateJobExtensionPriority | Unset = "normal"
    start_by: int | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        from ..models.mlflow_integration_body import MlflowIntegrationBody  # noqa: PLC0415
        from ..models.trackio_integration_body import TrackioIntegrationBody  # noqa: PLC0415

        integrations: list[dict[str, Any]] | None | Unset
        if isinstance(self.integrations, Unset):
            integrations = UNSET
        elif isinstance(self.integrations, list):
            integrations = []
            for integrations_type_0_item_data in self.integrations:
                integrations_type_0_item: dict[str, Any]
                if isinstance(integrations_type_0_item_data, MlflowIntegrationBody):
                    integrations_type_0_item = integrations_type_0_item_data.to_dict()
                elif isinstance(integrations_type_0_item_data, TrackioIntegrationBody):
                    integrations_type_0_item = integrations_type_0_item_data.to_dict()
                else:
                    integrations_type_0_item = integrations_type_0_item_data.to_dict()

                integrations.append(integrations_type_0_item)

        else:
            integrations = self.integrations

        priority: str | Unset = UNSET
        if not isinstance(self.priority, Unset):
            priority = self.priority

        start_by: int | None | Unset
        if isinstance(self.start_by, Unset):
            start_by = UNSET
        else:
            start_by = self.start_by

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if integrations is not UNSET:
            field_dict["integrations"] = integrations
        if priority is not UNSET:
            field_dict["priority"] = priority
        if start_by is not UNSET:
            field_dict["start_by"] = start_by

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.mlflow_integration_body import MlflowIntegrationBody  # noqa: PLC0415
        from ..models.tensorboard_integration_body import TensorboardIntegrationBody  # noqa: PLC0415
        from ..models.trackio_integration_body import TrackioIntegrationBody  # noqa: PLC0415

        d = dict(src_dict)

        def _parse_integrations(
            data: object,
        ) -> list[MlflowIntegrationBody | TensorboardIntegrationBody | TrackioIntegrationBody] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                integrations_type_0 = []
                _integrations_type_0 = data
                for integrations_type_0_item_data in _integrations_type_0:

                    def _parse_integrations_type_0_item(
                        data: object,
                    ) -> MlflowIntegrationBody | TensorboardIntegrationBody | TrackioIntegrationBody:
                        try:
                            if not isinstance(data, dict):
                                raise TypeError()
                            integrations_type_0_item_type_0 = MlflowIntegrationBody.from_dict(data)

                            return integrations_type_0_item_type_0
                        except (TypeError, ValueError, AttributeError, KeyError):
                            pass
                        try:
                            if not isinstance(data, dict):
                                raise TypeError()
                            integrations_type_0_item_type_1 = TrackioIntegrationBody.from_dict(data)

                            return integrations_type_0_item_type_1
                        except (TypeError, ValueError, AttributeError, KeyError):
                            pass
                        if not isinstance(data, dict):
                            raise TypeError()
                        integrations_type_0_item_type_2 = TensorboardIntegrationBody.from_dict(data)

                        return integrations_type_0_item_type_2

                    integrations_type_0_item = _parse_integrations_type_0_item(integrations_type_0_item_data)

                    integrations_type_0.append(integrations_type_0_item)

                return integrations_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(
                list[MlflowIntegrationBody | TensorboardIntegrationBody | TrackioIntegrationBody]
                | None
                | Unset,
                data,
            )

        integrations = _parse_integrations(d.pop("integrations", UNSET))

        _priority = d.pop("priority", UNSET)
        priority: CreateJobExtensionPriority | Unset
        if isinstance(_priority, Unset):
            priority = UNSET
        else:
            priority = check_create_job_extension_priority(_priority)

        def _parse_start_by(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        start_by = _parse_start_by(d.pop("start_by", UNSET))

        create_job_extension = cls(
            integrations=integrations,
            priority=priority,
            start_by=start_by,
        )

        return create_job_extension
