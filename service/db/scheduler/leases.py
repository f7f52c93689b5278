"""Leases by the database's clock. The epoch of a lease tells its holders apart."""

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from cluster.contracts.errors import Conflict
from service.db import tables
from service.db.database import now
from service.db.inserting import insert

READINESS = "readiness"
"""A lease that nobody holds: acquiring it for zero seconds shows whether the database accepts writes."""
API = "api"
"""Held by all API processes together, while any of them runs. Runners report to them."""


class LeaseLost(Conflict):
    """Someone else holds the lease, or may hold it: stop acting on it."""

    default_code = "lease_lost"


class Leases:
    def __init__(self, session: Session) -> None:
        self._session = session

    def acquire(self, name: str, holder: str, *, seconds: float) -> int | None:
        """Takes a free or expired lease, or renews one that `holder` has.

        Returns its epoch, which stays the same while `holder` renews the lease in time, and increases with
        each new holder; None if another one holds it.
        """
        self._session.execute(
            insert(self._session, tables.Lease)
            .values(name=name, holder="", epoch=0, expires_at=0.0)
            .on_conflict_do_nothing(index_elements=["name"])
        )
        row = self._session.scalars(
            select(tables.Lease).where(tables.Lease.name == name).with_for_update()
        ).one()
        at = now(self._session)
        is_expired = row.expires_at <= at
        if row.holder != holder and not is_expired:
            return None
        if row.holder != holder or is_expired:
            row.holder, row.epoch = holder, row.epoch + 1
        row.expires_at = at + seconds
        self._session.flush()
        return row.epoch

    def renew(self, name: str, epoch: int, *, seconds: float) -> None:
        """Renews the lease. Does nothing if it has expired or no longer has this epoch."""
        at = now(self._session)
        self._session.execute(
            update(tables.Lease)
            .where(tables.Lease.name == name, tables.Lease.epoch == epoch, tables.Lease.expires_at > at)
            .values(expires_at=at + seconds)
        )

    def require(self, name: str, epoch: int) -> None:
        """Locks the lease until the transaction ends, so that nobody takes over before the commit.

        Raises LeaseLost if it expired or has another epoch.
        """
        row = self._session.scalar(
            select(tables.Lease).where(tables.Lease.name == name).with_for_update(read=True)
        )
        if row is None or row.epoch != epoch or row.expires_at <= now(self._session):
            raise LeaseLost(f"The lease '{name}' of epoch {epoch} is no longer held.")

    def is_held(self, name: str) -> bool:
        """Whether anyone holds the lease now."""
        row = self._session.get(tables.Lease, name)
        return row is not None and row.expires_at > now(self._session)

    def release(self, name: str, epoch: int) -> None:
        """Lets another holder in at once. Does nothing if the lease no longer has this epoch."""
        self._session.execute(
            update(tables.Lease)
            .where(tables.Lease.name == name, tables.Lease.epoch == epoch)
            .values(expires_at=0.0)
        )
