"""The job rows that a tenant may see."""

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from cluster.contracts.errors import NotFound
from service.db import tables
from service.db.tenancy import Tenant


def select_owned_jobs(tenant: Tenant) -> Select[tables.Job]:
    return select(tables.Job).where(
        tables.Job.organization_id == tenant.organization_id,
        tables.Job.project_id == tenant.project_id,
    )


def get_owned_job(session: Session, tenant: Tenant, id: str) -> tables.Job:
    """Raises NotFound if the job does not exist or belongs to another tenant."""
    row = session.scalar(select_owned_jobs(tenant).where(tables.Job.id == id))
    if row is None:
        raise NotFound(
            f"Could not find fine tune: {id}", param="fine_tuning_job_id", code="fine_tune_not_found"
        )
    return row
