from typing import Literal

ModelImportStatus = Literal["failed", "succeeded", "validating"]

MODEL_IMPORT_STATUS_VALUES: set[ModelImportStatus] = {
    "failed",
    "succeeded",
    "validating",
}


def check_model_import_status(value: str) -> ModelImportStatus:
    if value in MODEL_IMPORT_STATUS_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {MODEL_IMPORT_STATUS_VALUES!r}")
