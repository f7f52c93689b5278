from typing import Literal

ModelsWeightsQuantization = Literal["bf16", "f16", "q8_0"]

MODELS_WEIGHTS_QUANTIZATION_VALUES: set[ModelsWeightsQuantization] = {
    "bf16",
    "f16",
    "q8_0",
}


def check_models_weights_quantization(value: str) -> ModelsWeightsQuantization:
    if value in MODELS_WEIGHTS_QUANTIZATION_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {MODELS_WEIGHTS_QUANTIZATION_VALUES!r}")
