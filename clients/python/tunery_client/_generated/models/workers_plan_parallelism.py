from typing import Literal

WorkersPlanParallelism = Literal["ddp", "fsdp", "hsdp", "single"]

WORKERS_PLAN_PARALLELISM_VALUES: set[WorkersPlanParallelism] = {
    "ddp",
    "fsdp",
    "hsdp",
    "single",
}


def check_workers_plan_parallelism(value: str) -> WorkersPlanParallelism:
    if value in WORKERS_PLAN_PARALLELISM_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {WORKERS_PLAN_PARALLELISM_VALUES!r}")
