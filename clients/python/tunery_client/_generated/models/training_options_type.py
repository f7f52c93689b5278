from typing import Literal

TrainingOptionsType = Literal["full", "lora", "peft", "qlora"]

TRAINING_OPTIONS_TYPE_VALUES: set[TrainingOptionsType] = {
    "full",
    "lora",
    "peft",
    "qlora",
}


def check_training_options_type(value: str) -> TrainingOptionsType:
    if value in TRAINING_OPTIONS_TYPE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {TRAINING_OPTIONS_TYPE_VALUES!r}")
