from typing import Literal

TrainingOptionsParallelism = Literal["auto", "ddp", "fsdp", "hsdp", "single"]

TRAINING_OPTIONS_PARALLELISM_VALUES: set[TrainingOptionsParallelism] = {
    "auto",
    "ddp",
    "fsdp",
    "hsdp",
    "single",
}


def check_training_options_parallelism(value: str) -> TrainingOptionsParallelism:
    if value in TRAINING_OPTIONS_PARALLELISM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {TRAINING_OPTIONS_PARALLELISM_VALUES!r}")
