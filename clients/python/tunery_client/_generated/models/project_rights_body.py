from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.project_rights_body_methods_type_0_item import (
    ProjectRightsBodyMethodsType0Item,
    check_project_rights_body_methods_type_0_item,
)
from ..models.project_rights_body_training_types_type_0_item import (
    ProjectRightsBodyTrainingTypesType0Item,
    check_project_rights_body_training_types_type_0_item,
)
from ..types import UNSET, Unset

T = TypeVar("T", bound="ProjectRightsBody")


@_attrs_define
class ProjectRightsBody:
    """A field that is left out stays as it is.

    Attributes:
        models (list[str] | None | Unset): Base models that the project may train, ask, and import adapters for.
        methods (list[ProjectRightsBodyMethodsType0Item] | None | Unset):
        training_types (list[ProjectRightsBodyTrainingTypesType0Item] | None | Unset):
    """

    models: list[str] | None | Unset = UNSET
    methods: list[ProjectRightsBodyMethodsType0Item] | None | Unset = UNSET
    training_types: list[ProjectRightsBodyTrainingTypesType0Item] | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        models: list[str] | None | Unset
        if isinstance(self.models, Unset):
            models = UNSET
        elif isinstance(self.models, list):
            models = self.models

        else:
            models = self.models

        methods: list[str] | None | Unset
        if isinstance(self.methods, Unset):
            methods = UNSET
        elif isinstance(self.methods, list):
            methods = []
            for methods_type_0_item_data in self.methods:
                methods_type_0_item: str = methods_type_0_item_data
                methods.append(methods_type_0_item)

        else:
            methods = self.methods

        training_types: list[str] | None | Unset
        if isinstance(self.training_types, Unset):
            training_types = UNSET
        elif isinstance(self.training_types, list):
            training_types = []
            for training_types_type_0_item_data in self.training_types:
                training_types_type_0_item: str = training_types_type_0_item_data
                training_types.append(training_types_type_0_item)

        else:
            training_types = self.training_types

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if models is not UNSET:
            field_dict["models"] = models
        if methods is not UNSET:
            field_dict["methods"] = methods
        if training_types is not UNSET:
            field_dict["training_types"] = training_types

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_models(data: object) -> list[str] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                models_type_0 = cast(list[str], data)

                return models_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | None | Unset, data)

        models = _parse_models(d.pop("models", UNSET))

        def _parse_methods(data: object) -> list[ProjectRightsBodyMethodsType0Item] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                methods_type_0 = []
                _methods_type_0 = data
                for methods_type_0_item_data in _methods_type_0:
                    methods_type_0_item = check_project_rights_body_methods_type_0_item(
                        methods_type_0_item_data
                    )

                    methods_type_0.append(methods_type_0_item)

                return methods_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[ProjectRightsBodyMethodsType0Item] | None | Unset, data)

        methods = _parse_methods(d.pop("methods", UNSET))

        def _parse_training_types(
            data: object,
        ) -> list[ProjectRightsBodyTrainingTypesType0Item] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                training_types_type_0 = []
                _training_types_type_0 = data
                for training_types_type_0_item_data in _training_types_type_0:
                    training_types_type_0_item = check_project_rights_body_training_types_type_0_item(
                        training_types_type_0_item_data
                    )

                    training_types_type_0.append(training_types_type_0_item)

                return training_types_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[ProjectRightsBodyTrainingTypesType0Item] | None | Unset, data)

        training_types = _parse_training_types(d.pop("training_types", UNSET))

        project_rights_body = cls(
            models=models,
            methods=methods,
            training_types=training_types,
        )

        return project_rights_body
