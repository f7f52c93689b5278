from typing import Literal

JobExtensionPriority = Literal["high", "low", "normal"]

JOB_EXTENSION_PRIORITY_VALUES: set[JobExtensionPriority] = {
    "high",
    "low",
    "normal",
}


def check_job_extension_priority(value: str) -> JobExtensionPriority:
    if value in JOB_EXTENSION_PRIORITY_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {JOB_EXTENSION_PRIORITY_VALUES!r}")
