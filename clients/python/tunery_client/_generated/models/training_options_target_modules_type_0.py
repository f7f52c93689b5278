from typing import Literal

TrainingOptionsTargetModulesType0 = Literal["all-linear"]

TRAINING_OPTIONS_TARGET_MODULES_TYPE_0_VALUES: set[TrainingOptionsTargetModulesType0] = {
    "all-linear",
}


def check_training_options_target_modules_type_0(value: str) -> TrainingOptionsTargetModulesType0:
    if value in TRAINING_OPTIONS_TARGET_MODULES_TYPE_0_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {TRAINING_OPTIONS_TARGET_MODULES_TYPE_0_VALUES!r}"
    )
