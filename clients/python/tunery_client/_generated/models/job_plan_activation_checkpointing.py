from typing import Literal

JobPlanActivationCheckpointing = Literal["auto", "full", "none", "offload"]

JOB_PLAN_ACTIVATION_CHECKPOINTING_VALUES: set[JobPlanActivationCheckpointing] = {
    "auto",
    "full",
    "none",
    "offload",
}


def check_job_plan_activation_checkpointing(value: str) -> JobPlanActivationCheckpointing:
    if value in JOB_PLAN_ACTIVATION_CHECKPOINTING_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {JOB_PLAN_ACTIVATION_CHECKPOINTING_VALUES!r}"
    )
