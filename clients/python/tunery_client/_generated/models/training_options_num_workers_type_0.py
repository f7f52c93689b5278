from typing import Literal

TrainingOptionsNumWorkersType0 = Literal["auto"]

TRAINING_OPTIONS_NUM_WORKERS_TYPE_0_VALUES: set[TrainingOptionsNumWorkersType0] = {
    "auto",
}


def check_training_options_num_workers_type_0(value: str) -> TrainingOptionsNumWorkersType0:
    if value in TRAINING_OPTIONS_NUM_WORKERS_TYPE_0_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {TRAINING_OPTIONS_NUM_WORKERS_TYPE_0_VALUES!r}"
    )
