"""Compares the database with Ray: finds running attempts, and processes without an attempt."""

import re
from collections.abc import Iterator

from sqlalchemy import select

from cluster.contracts.errors import NotFound
from cluster.storage.keys import spec_key
from cluster.storage.store import ObjectStore
from service.db import tables
from service.db.database import Database
from service.reconcile.findings import Finding
from service.scheduling.interfaces import GONE, RayJobs

_OURS = re.compile(r"(?P<job_id>ftjob-[A-Za-z0-9]+)-a(?P<number>\d+)")
"""A submission id."""


def check_attempts(database: Database, store: ObjectStore, ray: RayJobs, *, fixes: bool) -> Iterator[Finding]:
    """Compares Ray's jobs with the attempts in the database. With `fixes`, stops processes that this
    installation has started and whose attempts are unknown."""
    # Ray first: an attempt's row is written before its process is submitted.
    alive = {id for id, status in ray.list_jobs().items() if status not in GONE and _OURS.fullmatch(id)}
    with database.read() as session:
        table = tables.Attempt
        held = set(session.scalars(select(table.submission_id).where(table.released_at.is_(None))))
        at_work = set(
            session.scalars(
                select(table.submission_id).where(
                    table.released_at.is_(None), table.state.in_(("submitted", "running"))
                )
            )
        )
    for id in sorted(at_work - alive):
        if ray.status(id) in GONE:
            found = "Ray has no process of this attempt. The scheduler puts its job back into the queue."
            yield Finding("attempts", "warning", id, found)
    orphans = sorted(alive - held)
    for id in orphans:
        yield _orphan(store, ray, id, fixes=fixes)
    if not orphans:
        known = len(alive)
        yield Finding("attempts", "ok", "", f"Ray runs {known:,} processes of attempts, all of them known.")


def _orphan(store: ObjectStore, ray: RayJobs, id: str, *, fixes: bool) -> Finding:
    named = _OURS.fullmatch(id)
    assert named is not None
    try:
        store.stat(spec_key(named["job_id"], int(named["number"])))
    except NotFound:
        found = (
            "Ray runs it, no attempt knows it, and its specification is not in this storage: it may be "
            "another installation's. `ray job stop` ends it."
        )
        return Finding("attempts", "warning", id, found)
    if fixes:
        ray.stop(id)
        return Finding("attempts", "fixed", id, "Ray ran it, but it belonged to no attempt. It was stopped.")
    found = "Ray runs it, but it belongs to no attempt. It holds devices needlessly; --fix stops it."
    return Finding("attempts", "failed", id, found)
