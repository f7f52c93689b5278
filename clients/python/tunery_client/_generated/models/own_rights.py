from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.own_rights_methods_type_0_item import (
    OwnRightsMethodsType0Item,
    check_own_rights_methods_type_0_item,
)
from ..models.own_rights_priorities_item import (
    OwnRightsPrioritiesItem,
    check_own_rights_priorities_item,
)
from ..models.own_rights_training_types_type_0_item import (
    OwnRightsTrainingTypesType0Item,
    check_own_rights_training_types_type_0_item,
)

T = TypeVar("T", bound="OwnRights")


@_attrs_define
class OwnRights:
    """null allows everything, also what is added to the catalogue later.

    Attributes:
        object_ (Literal['rights']):  Default: 'rights'.
        project_id (str): Id of the project in which the key acts.
        organization_id (str): Id of the project's organization.
        is_admin_key (bool): Whether the key may act in any project of the organization, and manage it.
        is_operators_key (bool): Whether the key may also manage the installation.
        models (list[str] | None): Base models.
        methods (list[OwnRightsMethodsType0Item] | None):
        training_types (list[OwnRightsTrainingTypesType0Item] | None):
        priorities (list[OwnRightsPrioritiesItem]): Priorities that fine-tuning jobs may have, lowest first.
    """

    project_id: str
    organization_id: str
    is_admin_key: bool
    is_operators_key: bool
    models: list[str] | None
    methods: list[OwnRightsMethodsType0Item] | None
    training_types: list[OwnRightsTrainingTypesType0Item] | None
    priorities: list[OwnRightsPrioritiesItem]
    object_: Literal["rights"] = "rights"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        object_ = self.object_

        project_id = self.project_id

        organization_id = self.organization_id

        is_admin_key = self.is_admin_key

        is_operators_key = self.is_operators_key

        models: list[str] | None
        if isinstance(self.models, list):
            models = self.models

        else:
            models = self.models

        methods: list[str] | None
        if isinstance(self.methods, list):
            methods = []
            for methods_type_0_item_data in self.methods:
                methods_type_0_item: str = methods_type_0_item_data
                methods.append(methods_type_0_item)

        else:
            methods = self.methods

        training_types: list[str] | None
        if isinstance(self.training_types, list):
            training_types = []
            for training_types_type_0_item_data in self.training_types:
                training_types_type_0_item: str = training_types_type_0_item_data
                training_types.append(training_types_type_0_item)

        else:
            training_types = self.training_types

        priorities = []
        for priorities_item_data in self.priorities:
            priorities_item: str = priorities_item_data
            priorities.append(priorities_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "object": object_,
                "project_id": project_id,
                "organization_id": organization_id,
                "is_admin_key": is_admin_key,
                "is_operators_key": is_operators_key,
                "models": models,
                "methods": methods,
                "training_types": training_types,
                "priorities": priorities,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        object_ = cast(Literal["rights"], d.pop("object"))
        if object_ != "rights":
            raise ValueError(f"object must match const 'rights', got '{object_}'")

        project_id = d.pop("project_id")

        organization_id = d.pop("organization_id")

        is_admin_key = d.pop("is_admin_key")

        is_operators_key = d.pop("is_operators_key")

        def _parse_models(data: object) -> list[str] | None:
            if data is None:
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                models_type_0 = cast(list[str], data)

                return models_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | None, data)

        models = _parse_models(d.pop("models"))

        def _parse_methods(data: object) -> list[OwnRightsMethodsType0Item] | None:
            if data is None:
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                methods_type_0 = []
                _methods_type_0 = data
                for methods_type_0_item_data in _methods_type_0:
                    methods_type_0_item = check_own_rights_methods_type_0_item(methods_type_0_item_data)

                    methods_type_0.append(methods_type_0_item)

                return methods_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[OwnRightsMethodsType0Item] | None, data)

        methods = _parse_methods(d.pop("methods"))

        def _parse_training_types(data: object) -> list[OwnRightsTrainingTypesType0Item] | None:
            if data is None:
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                training_types_type_0 = []
                _training_types_type_0 = data
                for training_types_type_0_item_data in _training_types_type_0:
                    training_types_type_0_item = check_own_rights_training_types_type_0_item(
                        training_types_type_0_item_data
                    )

                    training_types_type_0.append(training_types_type_0_item)

                return training_types_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[OwnRightsTrainingTypesType0Item] | None, data)

        training_types = _parse_training_types(d.pop("training_types"))

        priorities = []
        _priorities = d.pop("priorities")
        for priorities_item_data in _priorities:
            priorities_item = check_own_rights_priorities_item(priorities_item_data)

            priorities.append(priorities_item)

        own_rights = cls(
            object_=object_,
            project_id=project_id,
            organization_id=organization_id,
            is_admin_key=is_admin_key,
            is_operators_key=is_operators_key,
            models=models,
            methods=methods,
            training_types=training_types,
            priorities=priorities,
        )

        own_rights.additional_properties = d
        return own_rights

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
