from typing import Literal

ModelExportQuantizationType0 = Literal["bf16", "f16", "q8_0"]

MODEL_EXPORT_QUANTIZATION_TYPE_0_VALUES: set[ModelExportQuantizationType0] = {
    "bf16",
    "f16",
    "q8_0",
}


def check_model_export_quantization_type_0(value: str) -> ModelExportQuantizationType0:
    if value in MODEL_EXPORT_QUANTIZATION_TYPE_0_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {MODEL_EXPORT_QUANTIZATION_TYPE_0_VALUES!r}"
    )
