from typing import Literal

ModelExportStatus = Literal["failed", "queued", "running", "succeeded"]

MODEL_EXPORT_STATUS_VALUES: set[ModelExportStatus] = {
    "failed",
    "queued",
    "running",
    "succeeded",
}


def check_model_export_status(value: str) -> ModelExportStatus:
    if value in MODEL_EXPORT_STATUS_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {MODEL_EXPORT_STATUS_VALUES!r}")
