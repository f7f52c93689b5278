"""Maintenance of the installation."""

from typing import Literal

from service.api.schemas.base import Answer, Body


class MaintenanceBody(Body):
    pauses_jobs: bool = False
    """Whether running jobs are paused at a checkpoint instead of being allowed to finish. They continue after
    maintenance."""


class PublicMaintenance(Answer):
    object: Literal["maintenance"] = "maintenance"
    is_on: bool
    since: int | None
    """Null if there is none."""
    pauses_jobs: bool
