from typing import Literal

ModelsWeightsFileFormat = Literal["gguf", "merged", "original"]

MODELS_WEIGHTS_FILE_FORMAT_VALUES: set[ModelsWeightsFileFormat] = {
    "gguf",
    "merged",
    "original",
}


def check_models_weights_file_format(value: str) -> ModelsWeightsFileFormat:
    if value in MODELS_WEIGHTS_FILE_FORMAT_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {MODELS_WEIGHTS_FILE_FORMAT_VALUES!r}")
