from typing import Literal

UploadPurpose = Literal["assistants", "batch", "evals", "fine-tune", "user_data", "vision"]

UPLOAD_PURPOSE_VALUES: set[UploadPurpose] = {
    "assistants",
    "batch",
    "evals",
    "fine-tune",
    "user_data",
    "vision",
}


def check_upload_purpose(value: str) -> UploadPurpose:
    if value in UPLOAD_PURPOSE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {UPLOAD_PURPOSE_VALUES!r}")
