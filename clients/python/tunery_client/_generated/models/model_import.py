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

from ..models.model_import_status import ModelImportStatus, check_model_import_status

if TYPE_CHECKING:
    from ..models.model_import_error import ModelImportError


T = TypeVar("T", bound="ModelImport")


@_attrs_define
class ModelImport:
    """
    Attributes:
        object_ (Literal['model.import']):  Default: 'model.import'.
        id (str):
        status (ModelImportStatus):
        base (str):
        files (list[str]):
        model (None | str): The new model's name, once the import has succeeded.
        error (ModelImportError | None): Why the import failed.
        created_at (int):
        finished_at (int | None):
    """

    id: str
    status: ModelImportStatus
    base: str
    files: list[str]
    model: None | str
    error: ModelImportError | None
    created_at: int
    finished_at: int | None
    object_: Literal["model.import"] = "model.import"
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.model_import_error import ModelImportError  # noqa: PLC0415

        object_ = self.object_

        id = self.id

        status: str = self.status

        base = self.base

        files = self.files

        model: None | str
        model = self.model

        error: dict[str, Any] | None
        if isinstance(self.error, ModelImportError):
            error = self.error.to_dict()
        else:
            error = self.error

        created_at = self.created_at

        finished_at: int | None
        finished_at = self.finished_at

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "object": object_,
                "id": id,
                "status": status,
                "base": base,
                "files": files,
                "model": model,
                "error": error,
                "created_at": created_at,
                "finished_at": finished_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.model_import_error import ModelImportError  # noqa: PLC0415

        d = dict(src_dict)
        object_ = cast(Literal["model.import"], d.pop("object"))
        if object_ != "model.import":
            raise ValueError(f"object must match const 'model.import', got '{object_}'")

        id = d.pop("id")

        status = check_model_import_status(d.pop("status"))

        base = d.pop("base")

        files = cast(list[str], d.pop("files"))

        def _parse_model(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        model = _parse_model(d.pop("model"))

        def _parse_error(data: object) -> ModelImportError | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                error_type_0 = ModelImportError.from_dict(data)

                return error_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ModelImportError | None, data)

        error = _parse_error(d.pop("error"))

        created_at = d.pop("created_at")

        def _parse_finished_at(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        finished_at = _parse_finished_at(d.pop("finished_at"))

        model_import = cls(
            object_=object_,
            id=id,
            status=status,
            base=base,
            files=files,
            model=model,
            error=error,
            created_at=created_at,
            finished_at=finished_at,
        )

        model_import.additional_properties = d
        return model_import

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
