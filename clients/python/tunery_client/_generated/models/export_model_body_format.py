from typing import Literal

ExportModelBodyFormat = Literal["gguf", "merged"]

EXPORT_MODEL_BODY_FORMAT_VALUES: set[ExportModelBodyFormat] = {
    "gguf",
    "merged",
}


def check_export_model_body_format(value: str) -> ExportModelBodyFormat:
    if value in EXPORT_MODEL_BODY_FORMAT_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {EXPORT_MODEL_BODY_FORMAT_VALUES!r}")
