"""The buckets that implement limits per minute and that all API processes share.

A bucket holds at most its limit and refills steadily, so that the whole limit is back after a minute. A
process does not write for every request: it takes more than it needs, and returns the rest."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.db import tables
from service.db.database import now
from service.db.inserting import insert

_RESERVE_SECONDS = 1.0
"""A process takes at least the amount that refills in this time."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The amount that a process wants from a bucket."""

    bucket_id: str
    limit: int
    """Limit per minute."""
    cost: float
    """The amount that the request needs; 0 only returns what is left."""
    returned: float = 0.0
    """What is left of earlier grants. Negative if more was used than granted."""


@dataclass(frozen=True, slots=True)
class Grant:
    amount: float
    """At least the cost, or 0 if any of the claims cannot be met."""
    level: float
    """What is left in the bucket."""


def take(session: Session, claims: Sequence[Claim]) -> list[Grant]:
    """Takes the cost of all claims, or nothing at all. Grants are in the order of the claims."""
    rows = _locked(session, claims)
    at = now(session)
    for claim in claims:
        row = rows[claim.bucket_id]
        refilled = max(0.0, at - row.filled_at) * claim.limit / 60
        row.level = min(float(claim.limit), row.level + refilled + claim.returned)
        row.filled_at = at
    is_granted = all(rows[claim.bucket_id].level >= claim.cost for claim in claims)
    grants = []
    for claim in claims:
        row = rows[claim.bucket_id]
        wanted = max(claim.cost, claim.limit / 60 * _RESERVE_SECONDS)
        amount = min(row.level, wanted) if is_granted and claim.cost else 0.0
        row.level -= amount
        grants.append(Grant(amount, row.level))
    session.flush()
    return grants


def _locked(session: Session, claims: Sequence[Claim]) -> dict[str, tables.RateBucket]:
    """Locks the rows in one order, so that processes cannot deadlock, and creates missing ones as full
    buckets. They are created before any row is locked, because creating a row may wait for another process
    that creates it."""
    in_order = sorted(claims, key=lambda claim: claim.bucket_id)
    new = [{"id": claim.bucket_id, "level": float(claim.limit), "filled_at": 0.0} for claim in in_order]
    row = tables.RateBucket
    wanted = row.id.in_([one["id"] for one in new])
    known = set(session.scalars(select(row.id).where(wanted)))
    if missing := [one for one in new if one["id"] not in known]:
        session.execute(insert(session, row).values(missing).on_conflict_do_nothing())
    locked = select(row).where(wanted).order_by(row.id).with_for_update()
    return {one.id: one for one in session.scalars(locked)}
