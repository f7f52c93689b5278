from typing import Literal

FineTuningJobPreviewFormat = Literal[
    "chat", "classification", "completion", "preference", "token_classification"
]

FINE_TUNING_JOB_PREVIEW_FORMAT_VALUES: set[FineTuningJobPreviewFormat] = {
    "chat",
    "classification",
    "completion",
    "preference",
    "token_classification",
}


def check_fine_tuning_job_preview_format(value: str) -> FineTuningJobPreviewFormat:
    if value in FINE_TUNING_JOB_PREVIEW_FORMAT_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {FINE_TUNING_JOB_PREVIEW_FORMAT_VALUES!r}")
