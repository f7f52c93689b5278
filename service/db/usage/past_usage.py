"""Usage of deleted projects, kept so that their organization's usage and costs do not change."""

from dataclasses import asdict

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.db import tables
from service.db.database import now
from service.db.tenancy import Tenant
from service.db.usage.organization_usage import FINE_TUNING, OrganizationUsage, UsageFilter
from service.db.usage.usage import HOUR, OPERATIONS, UsageCounts


def keep_usage(session: Session, tenant: Tenant) -> None:
    """Adds up the project's usage, before the project is deleted: by base model, and without its keys."""
    usage = OrganizationUsage(session, tenant.organization_id)
    end = (int(now(session)) // HOUR + 1) * HOUR
    wanted = UsageFilter(0, end, HOUR, project_ids=[tenant.project_id], group_by=["model"])
    totals: dict[tuple[str, str, int], UsageCounts] = {}
    for operation in OPERATIONS:
        for start, groups in usage.of_models(operation, wanted).items():
            for ((_, model),), counts in groups.items():
                key = (operation, _base_of(model or ""), start)
                totals[key] = totals.get(key, UsageCounts()) + counts
    rows = [
        tables.PastUsage(operation=operation, base=base, start=start, device_seconds=0.0, **asdict(counts))
        for (operation, base, start), counts in totals.items()
    ]
    rows += [
        tables.PastUsage(
            operation=FINE_TUNING,
            base=base,
            start=start,
            requests=used.jobs,
            prompt_tokens=used.trained_tokens,
            completion_tokens=0,
            device_seconds=used.device_seconds,
        )
        for start, groups in usage.of_training(wanted).items()
        for ((_, base),), used in groups.items()
    ]
    for row in rows:
        row.organization_id, row.project_id = tenant.organization_id, tenant.project_id
    session.add_all(rows)
    session.flush()


def past_device_seconds(session: Session, organization_id: str, since: float) -> float:
    """Device-seconds used by the organization's deleted projects since `since`."""
    row = tables.PastUsage
    total = select(func.sum(row.device_seconds)).where(
        row.organization_id == organization_id, row.start >= int(since)
    )
    return session.scalar(total) or 0.0


def past_job_times(session: Session, organization_id: str, since: int) -> list[int]:
    """The hours in which jobs of the organization's deleted projects ended, one for each job."""
    row = tables.PastUsage
    hours = select(row.start, row.requests).where(
        row.organization_id == organization_id, row.operation == FINE_TUNING, row.start >= since
    )
    return [start for start, jobs in session.execute(hours) for _ in range(jobs)]


def _base_of(model: str) -> str:
    """The base of `ft:base:…`, which is a tuned model; any other name is that of a base."""
    return model.split(":")[1] if model.startswith("ft:") else model
