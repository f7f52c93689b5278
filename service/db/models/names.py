"""Names of new tuned models."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.db import tables
from service.db.ids import random_characters
from service.db.tenancy import Tenant


def new_model_name(session: Session, tenant: Tenant, base: str, suffix: str | None) -> str:
    """`ft:<base>:<organization>:<suffix>:<8 characters>`."""
    organization = session.scalars(
        select(tables.Organization.name).where(tables.Organization.id == tenant.organization_id)
    ).one()
    return f"ft:{base}:{organization}:{suffix or ''}:{random_characters(8)}"
