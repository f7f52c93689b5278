from typing import Literal

ModelExportFormat = Literal["gguf", "merged"]

MODEL_EXPORT_FORMAT_VALUES: set[ModelExportFormat] = {
    "gguf",
    "merged",
}


def check_model_export_format(value: str) -> ModelExportFormat:
    if value in MODEL_EXPORT_FORMAT_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {MODEL_EXPORT_FORMAT_VALUES!r}")
