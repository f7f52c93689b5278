"""Records when keys were last used."""

from collections.abc import Collection

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from service.db import tables
from service.db.database import now


def write_last_use(session: Session, key_ids: Collection[str]) -> None:
    """Records that these keys are being used now."""
    wanted = select(tables.ApiKey.id).where(tables.ApiKey.id.in_(key_ids))
    # Always in the same order, so that two processes that write the same keys cannot deadlock.
    ids = session.scalars(wanted.order_by(tables.ApiKey.id).with_for_update(key_share=True)).all()
    used = update(tables.ApiKey).where(tables.ApiKey.id.in_(ids))
    session.execute(used.values(last_used_at=int(now(session))))
