from typing import Literal

JobPlanDeviceType0 = Literal["cpu", "cuda"]

JOB_PLAN_DEVICE_TYPE_0_VALUES: set[JobPlanDeviceType0] = {
    "cpu",
    "cuda",
}


def check_job_plan_device_type_0(value: str) -> JobPlanDeviceType0:
    if value in JOB_PLAN_DEVICE_TYPE_0_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {JOB_PLAN_DEVICE_TYPE_0_VALUES!r}")
