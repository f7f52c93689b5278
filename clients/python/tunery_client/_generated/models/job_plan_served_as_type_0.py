from typing import Literal

JobPlanServedAsType0 = Literal["full", "lora", "prefix", "qlora"]

JOB_PLAN_SERVED_AS_TYPE_0_VALUES: set[JobPlanServedAsType0] = {
    "full",
    "lora",
    "prefix",
    "qlora",
}


def check_job_plan_served_as_type_0(value: str) -> JobPlanServedAsType0:
    if value in JOB_PLAN_SERVED_AS_TYPE_0_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {JOB_PLAN_SERVED_AS_TYPE_0_VALUES!r}")
