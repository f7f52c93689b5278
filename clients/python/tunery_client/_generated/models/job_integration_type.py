from typing import Literal

JobIntegrationType = Literal["mlflow", "tensorboard", "trackio", "wandb"]

JOB_INTEGRATION_TYPE_VALUES: set[JobIntegrationType] = {
    "mlflow",
    "tensorboard",
    "trackio",
    "wandb",
}


def check_job_integration_type(value: str) -> JobIntegrationType:
    if value in JOB_INTEGRATION_TYPE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {JOB_INTEGRATION_TYPE_VALUES!r}")
