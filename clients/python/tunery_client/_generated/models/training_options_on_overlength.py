from typing import Literal

TrainingOptionsOnOverlength = Literal["drop", "error", "truncate"]

TRAINING_OPTIONS_ON_OVERLENGTH_VALUES: set[TrainingOptionsOnOverlength] = {
    "drop",
    "error",
    "truncate",
}


def check_training_options_on_overlength(value: str) -> TrainingOptionsOnOverlength:
    if value in TRAINING_OPTIONS_ON_OVERLENGTH_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {TRAINING_OPTIONS_ON_OVERLENGTH_VALUES!r}")
