from typing import Literal

ModelExtensionArchitectureType0 = Literal["decoder", "encoder"]

MODEL_EXTENSION_ARCHITECTURE_TYPE_0_VALUES: set[ModelExtensionArchitectureType0] = {
    "decoder",
    "encoder",
}


def check_model_extension_architecture_type_0(value: str) -> ModelExtensionArchitectureType0:
    if value in MODEL_EXTENSION_ARCHITECTURE_TYPE_0_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {MODEL_EXTENSION_ARCHITECTURE_TYPE_0_VALUES!r}"
    )
