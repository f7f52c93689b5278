"""Compares the database of an installation with its storage and its Ray."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from service.backup.installation import opened
from service.reconcile.attempts import check_attempts
from service.reconcile.encryption import check_keys
from service.reconcile.findings import Finding
from service.reconcile.objects import check_objects, check_unneeded
from service.scheduling.cluster.ray_jobs import HttpRayJobs
from service.scheduling.sweeping.sweep import sweep_options
from service.settings import Settings

_RAY_TIMEOUT_SECONDS = 60.0


def reconcile(folder: Path, *, fixes: bool) -> Iterator[Finding]:
    """Reconciles the installation that the environment names, or else the data folder's. Raises
    InvalidRequest if there is none, and Unavailable if one of its parts does not answer."""
    settings = Settings()
    with opened(folder) as (database, store):
        yield from check_objects(database, store)
        yield check_unneeded(database, store, sweep_options(settings, is_dry_run=True))
        yield from check_keys(database, store)
        if "TUNERY_RAY_URL" not in os.environ:
            yield Finding("attempts", "warning", "", "Ray was not asked: TUNERY_RAY_URL is not set.")
            return
        token = settings.ray_auth_token.get_secret_value() if settings.ray_auth_token else None
        with closing(HttpRayJobs(settings.ray_url, token, timeout_seconds=_RAY_TIMEOUT_SECONDS)) as ray:
            yield from check_attempts(database, store, ray, fixes=fixes)
