"""`tunery sweep`: deletes what is no longer needed from storage, and reports what was deleted."""

from collections.abc import Callable
from pathlib import Path

from service.backup.installation import opened
from service.scheduling.sweeping.sweep import ObjectCount, SweepReport, sweep, sweep_options
from service.settings import Settings


def sweep_now(
    folder: Path, *, grace_seconds: float | None, is_dry_run: bool, say: Callable[[str], None]
) -> None:
    """Sweeps the storage that TUNERY_DATABASE_URL and TUNERY_STORAGE_URL name, or else the data folder's. The
    installation may be running. Raises InvalidRequest if there is none, and Unavailable if its database or
    storage does not answer."""
    options = sweep_options(Settings(), grace_seconds=grace_seconds, is_dry_run=is_dry_run)
    with opened(folder) as (database, store):
        report = sweep(database, store, options)
    for line in report_lines(report, is_dry_run=is_dry_run):
        say(line)


def report_lines(report: SweepReport, *, is_dry_run: bool) -> list[str]:
    """A table of what was deleted, by kind, and what was kept."""
    rows = [*sorted(report.removed.items()), ("total", report.total())]
    deleted = [f"Deleted by retention: {count:,} {kind}" for kind, count in sorted(report.deleted.items())]
    return [
        *deleted,
        "Would be removed:" if is_dry_run else "Removed:",
        *(f"  {kind:<20} {_count(count)}" for kind, count in rows),
        f"  {'kept':<20} {_count(report.kept)}",
    ]


def _count(count: ObjectCount) -> str:
    return f"{count.objects:>8,} objects {count.bytes:>18,} bytes"
