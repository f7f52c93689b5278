from typing import Literal

ModelsWeightsFileQuantization = Literal["bf16", "f16", "q8_0"]

MODELS_WEIGHTS_FILE_QUANTIZATION_VALUES: set[ModelsWeightsFileQuantization] = {
    "bf16",
    "f16",
    "q8_0",
}


def check_models_weights_file_quantization(value: str) -> ModelsWeightsFileQuantization:
    if value in MODELS_WEIGHTS_FILE_QUANTIZATION_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {MODELS_WEIGHTS_FILE_QUANTIZATION_VALUES!r}"
    )
