from typing import Literal

ModelsWeightsFormat = Literal["gguf", "merged", "original"]

MODELS_WEIGHTS_FORMAT_VALUES: set[ModelsWeightsFormat] = {
    "gguf",
    "merged",
    "original",
}


def check_models_weights_format(value: str) -> ModelsWeightsFormat:
    if value in MODELS_WEIGHTS_FORMAT_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {MODELS_WEIGHTS_FORMAT_VALUES!r}")
