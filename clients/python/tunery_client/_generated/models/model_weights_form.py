from typing import Literal

ModelWeightsForm = Literal["adapter", "full", "gguf", "prefix"]

MODEL_WEIGHTS_FORM_VALUES: set[ModelWeightsForm] = {
    "adapter",
    "full",
    "gguf",
    "prefix",
}


def check_model_weights_form(value: str) -> ModelWeightsForm:
    if value in MODEL_WEIGHTS_FORM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {MODEL_WEIGHTS_FORM_VALUES!r}")
