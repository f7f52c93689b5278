from typing import Literal

TrainingOptionsOptimizer = Literal["adamw", "adamw_8bit"]

TRAINING_OPTIONS_OPTIMIZER_VALUES: set[TrainingOptionsOptimizer] = {
    "adamw",
    "adamw_8bit",
}


def check_training_options_optimizer(value: str) -> TrainingOptionsOptimizer:
    if value in TRAINING_OPTIONS_OPTIMIZER_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {TRAINING_OPTIONS_OPTIMIZER_VALUES!r}")
