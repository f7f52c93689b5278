from typing import Literal

JobPlanParallelism = Literal["ddp", "fsdp", "hsdp", "single"]

JOB_PLAN_PARALLELISM_VALUES: set[JobPlanParallelism] = {
    "ddp",
    "fsdp",
    "hsdp",
    "single",
}


def check_job_plan_parallelism(value: str) -> JobPlanParallelism:
    if value in JOB_PLAN_PARALLELISM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {JOB_PLAN_PARALLELISM_VALUES!r}")
