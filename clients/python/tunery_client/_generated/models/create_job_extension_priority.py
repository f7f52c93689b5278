from typing import Literal

CreateJobExtensionPriority = Literal["high", "low", "normal"]

CREATE_JOB_EXTENSION_PRIORITY_VALUES: set[CreateJobExtensionPriority] = {
    "high",
    "low",
    "normal",
}


def check_create_job_extension_priority(value: str) -> CreateJobExtensionPriority:
    if value in CREATE_JOB_EXTENSION_PRIORITY_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {CREATE_JOB_EXTENSION_PRIORITY_VALUES!r}")
