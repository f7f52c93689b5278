"""When keys were last used."""

from collections.abc import Collection

from sqlalchemy import update
from sqlalchemy.orm import Session

from service.db import tables
from service.db.database import now


def write_last_use(session: Session, key_ids: Collection[str]) -> None:
    """Notes that these keys are used now."""
    keys = update(tables.ApiKey).where(tables.ApiKey.id.in_(sorted(key_ids)))
    session.execute(keys.values(last_used_at=int(now(session))))
