from typing import Literal

JobState = Literal[
    "cancelled",
    "failed",
    "paused",
    "pausing",
    "publishing",
    "queued",
    "running",
    "starting",
    "succeeded",
    "validating_files",
]

JOB_STATE_VALUES: set[JobState] = {
    "cancelled",
    "failed",
    "paused",
    "pausing",
    "publishing",
    "queued",
    "running",
    "starting",
    "succeeded",
    "validating_files",
}


def check_job_state(value: str) -> JobState:
    if value in JOB_STATE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {JOB_STATE_VALUES!r}")
