"""Who may act: a lease by the database's clock, with an epoch that tells holders apart."""

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from cluster.contracts.errors import Conflict
from service.db import tables
from service.db.database import now


class LeaseLost(Conflict):
    """Someone else leads, or may: stop acting."""

    default_code = "lease_lost"


class Leases:
    def __init__(self, session: Session) -> None:
        self._session = session

    def acquire(self, name: str, holder: str, *, seconds: float) -> int | None:
        """Takes a free or expired lease, or prolongs one's own; None while another holds it.

        Returns the epoch: unchanged as long as `holder` never let the lease expire, higher for every new
        tenure.
        """
        insert = postgresql.insert if self._session.get_bind().dialect.name == "postgresql" else sqlite.insert
        self._session.execute(
            insert(tables.Lease)
            .values(name=name, holder="", epoch=0, expires_at=0.0)
            .on_conflict_do_nothing(index_elements=["name"])
        )
        row = self._session.scalars(
            select(tables.Lease)
            .where(tables.Lease.name == name)
            .with_for_update()
            .execution_options(populate_existing=True)
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

    def require(self, name: str, epoch: int) -> None:
        """Pins the lease until the transaction ends, so that nobody takes over before it is committed.

        Raises LeaseLost if it expired or has another epoch.
        """
        row = self._session.scalar(
            select(tables.Lease)
            .where(tables.Lease.name == name)
            .with_for_update(read=True)
            .execution_options(populate_existing=True)
        )
        if row is None or row.epoch != epoch or row.expires_at <= now(self._session):
            raise LeaseLost(f"The lease '{name}' of epoch {epoch} is no longer held.")

    def is_held(self, name: str) -> bool:
        """Whether anyone holds it now."""
        row = self._session.get(tables.Lease, name)
        return row is not None and row.expires_at > now(self._session)

    def release(self, name: str, epoch: int) -> None:
        """Lets the next one in at once; does nothing if the lease is no longer this epoch's."""
        self._session.execute(
            update(tables.Lease)
            .where(tables.Lease.name == name, tables.Lease.epoch == epoch)
            .values(expires_at=0.0)
        )
