"""Determines how unfinished jobs continue after a restore.

The store may contain more than the restored rows know: attempts that were started after the backup, and newer
states. It may also contain less: a state may have been superseded by the time the objects were copied.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from cluster.contracts.errors import CorruptArtefact, NotFound
from cluster.contracts.jobs import JobStatus
from cluster.storage.keys import AttemptKey, parse_key
from cluster.storage.store import ObjectStore
from service.backup.manifests import broken_files, read_listed
from service.db import tables
from service.db.scheduler.attempts import put_back_all
from service.db.transitions import UNFINISHED

_MAY_START = [JobStatus.VALIDATING_FILES.value, JobStatus.QUEUED.value, JobStatus.PAUSED.value]
_RESUME_MANIFEST = "resume_manifest.json"


@dataclass(frozen=True, slots=True)
class Continuation:
    """How one job continues."""

    attempt: int
    """The highest attempt number that is taken. An attempt's number is never used twice: an earlier process
    with the same number could still write its objects."""
    manifest_key: str | None
    """Manifest of the state from which the job resumes; None for the beginning."""
    step: int


def find_continuation(row: dict[str, Any], store: ObjectStore) -> Continuation | None:
    """Finds where the job of this row in the backup continues; None if the job has ended.

    The job continues from the state that its row names. If that is gone, it continues from the newest
    complete one. A state that is newer than the row must not return to weights that no row names, because a
    sweep would delete them."""
    if row["status"] not in UNFINISHED:
        return None
    places = [(info.key, parse_key(info.key)) for info in store.list(f"jobs/{row['id']}/attempts/")]
    attempts = [(key, place) for key, place in places if isinstance(place, AttemptKey)]
    newest = max([row["attempt"], *(place.number for _, place in attempts)])
    named, named_step = row.get("resume_manifest_key"), row.get("resume_step", 0)
    if named is None or _is_whole(store, named, may_return=True):
        return Continuation(newest, named, named_step)
    states = [(place.step or 0, key) for key, place in attempts if place.name == _RESUME_MANIFEST]
    for step, key in sorted(states, reverse=True):
        if _is_whole(store, key, may_return=step <= named_step):
            return Continuation(newest, key, step)
    return Continuation(newest, None, 0)


def continued(row: dict[str, Any], found: Continuation | None) -> dict[str, Any]:
    """The job's row with the state from which it continues."""
    if found is None or "resume_manifest_key" not in row:
        return row
    return {**row, "resume_manifest_key": found.manifest_key, "resume_step": found.step}


def put_back_unfinished(session: Session, continuations: dict[str, Continuation]) -> None:
    """Ends the attempts that were running when the backup was made, which does not count as a fault of their
    jobs, and makes the next attempts use unused numbers."""
    put_back_all(session)
    for job_id, found in continuations.items():
        session.execute(
            update(tables.Job)
            .where(tables.Job.id == job_id, tables.Job.status.in_(_MAY_START))
            .where(tables.Job.attempt < found.attempt)
            .values(attempt=found.attempt)
        )


def _is_whole(store: ObjectStore, manifest_key: str, *, may_return: bool) -> bool:
    try:
        listed = read_listed(store, manifest_key)
        return (may_return or listed.best is None) and not broken_files(store, manifest_key, listed)
    except (NotFound, CorruptArtefact):
        return False
