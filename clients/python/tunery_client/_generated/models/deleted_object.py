from typing import Literal

DeletedObject = Literal["file", "model"]

DELETED_OBJECT_VALUES: set[DeletedObject] = {
    "file",
    "model",
}


def check_deleted_object(value: str) -> DeletedObject:
    if value in DELETED_OBJECT_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {DELETED_OBJECT_VALUES!r}")
