"""`tunery sweep`: deletes what is not needed any more from storage, and reports what that was."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from cluster.contracts.errors import TuneryError
from cluster.storage.location import open_store
from service.data_folder import database_url, storage_url
from service.db.database import Database
from service.scheduling.sweeping import ObjectCount, SweepOptions, SweepReport, sweep
from service.settings import Settings


class SweepFailed(RuntimeError):
    """There is no installation, or its database or storage does not answer."""


def sweep_now(
    folder: Path, *, grace_seconds: float | None, is_dry_run: bool, say: Callable[[str], None]
) -> None:
    """Sweeps the storage that TUNERY_DATABASE_URL and TUNERY_STORAGE_URL name, or else the data folder's. The
    installation may be running. Raises SweepFailed."""
    url = database_url(folder)
    if url == database_url(folder, {}) and not (folder / "tunery.db").exists():
        raise SweepFailed(
            f"there is no installation in {folder}. Give its --data, or set TUNERY_DATABASE_URL and "
            "TUNERY_STORAGE_URL."
        )
    settings = Settings()
    grace = settings.sweep_grace_seconds if grace_seconds is None else grace_seconds
    try:
        store = open_store(storage_url(folder), endpoint_url=settings.storage_endpoint)
        with closing(Database(url)) as database:
            report = sweep(database, store, SweepOptions(grace, settings.resume_state_seconds, is_dry_run))
    except TuneryError as error:
        raise SweepFailed(error.message) from error
    for line in report_lines(report, is_dry_run=is_dry_run):
        say(line)


def report_lines(report: SweepReport, *, is_dry_run: bool) -> list[str]:
    """A table of what was deleted, by kind, and what was kept."""
    rows = [*sorted(report.removed.items()), ("total", report.total())]
    return [
        "Would be removed:" if is_dry_run else "Removed:",
        *(f"  {kind:<20} {_count(count)}" for kind, count in rows),
        f"  {'kept':<20} {_count(report.kept)}",
    ]


def _count(count: ObjectCount) -> str:
    return f"{count.objects:>8,} objects {count.bytes:>18,} bytes"
