"""Maintenance of the installation."""

from typing import Literal

from service.api.schemas.base import Answer, Body


class MaintenanceBody(Body):
    pauses_jobs: bool = False
    """Whether running jobs save a checkpoint and wait, instead of finishing. They continue after the
    maintenance."""


class PublicMaintenance(Answer):
    object: Literal["maintenance"] = "maintenance"
    is_on: bool
    since: int | None
    """Null if there is none."""
    pauses_jobs: bool
