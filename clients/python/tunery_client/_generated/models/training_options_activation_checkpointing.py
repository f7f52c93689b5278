from typing import Literal

TrainingOptionsActivationCheckpointing = Literal["auto", "full", "none", "offload"]

TRAINING_OPTIONS_ACTIVATION_CHECKPOINTING_VALUES: set[TrainingOptionsActivationCheckpointing] = {
    "auto",
    "full",
    "none",
    "offload",
}


def check_training_options_activation_checkpointing(value: str) -> TrainingOptionsActivationCheckpointing:
    if value in TRAINING_OPTIONS_ACTIVATION_CHECKPOINTING_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {TRAINING_OPTIONS_ACTIVATION_CHECKPOINTING_VALUES!r}"
    )
