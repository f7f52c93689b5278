from typing import Literal

WorkersPlanActivationCheckpointing = Literal["auto", "full", "none", "offload"]

WORKERS_PLAN_ACTIVATION_CHECKPOINTING_VALUES: set[WorkersPlanActivationCheckpointing] = {
    "auto",
    "full",
    "none",
    "offload",
}


def check_workers_plan_activation_checkpointing(value: str) -> WorkersPlanActivationCheckpointing:
    if value in WORKERS_PLAN_ACTIVATION_CHECKPOINTING_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {WORKERS_PLAN_ACTIVATION_CHECKPOINTING_VALUES!r}"
    )
