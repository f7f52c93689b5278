"""Limits that an operator has set on the devices that jobs may hold in a pool."""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from service.db import tables
from service.db.inserting import insert
from service.db.organization.audit_log import record
from service.db.tenancy import Tenant


def pool_limits(session: Session) -> dict[str, int]:
    """Limits by the pool's name. Pools without a limit are absent."""
    limit = tables.PoolLimit
    return dict(row.tuple() for row in session.execute(select(limit.pool, limit.max_devices)))


def set_pool_limit(session: Session, tenant: Tenant, pool: str, max_devices: int | None) -> None:
    """Sets the limit; None removes it. `tenant` is the operator's."""
    if max_devices is None:
        session.execute(delete(tables.PoolLimit).where(tables.PoolLimit.pool == pool))
    else:
        new = insert(session, tables.PoolLimit).values(pool=pool, max_devices=max_devices)
        session.execute(new.on_conflict_do_update(index_elements=["pool"], set_={"max_devices": max_devices}))
    record(session, tenant, "pool.updated", pool, changes_requested={"max_devices": max_devices})
