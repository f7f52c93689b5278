"""Organizations, which own projects."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from service.db import tables


@dataclass(frozen=True, slots=True)
class Organization:
    id: str
    name: str
    created_at: int


def get_organization(session: Session, id: str) -> Organization:
    row = session.get_one(tables.Organization, id)
    return Organization(row.id, row.name, row.created_at)
