from typing import Literal

ExportModelBodyQuantizationType0 = Literal["bf16", "f16", "q8_0"]

EXPORT_MODEL_BODY_QUANTIZATION_TYPE_0_VALUES: set[ExportModelBodyQuantizationType0] = {
    "bf16",
    "f16",
    "q8_0",
}


def check_export_model_body_quantization_type_0(value: str) -> ExportModelBodyQuantizationType0:
    if value in EXPORT_MODEL_BODY_QUANTIZATION_TYPE_0_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {EXPORT_MODEL_BODY_QUANTIZATION_TYPE_0_VALUES!r}"
    )
