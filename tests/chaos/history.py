"""The history of an installation's jobs: rows of its database, and every change of a job's status, which a
trigger in the database records."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from cluster.storage.keys import parse_key
from service.db import tables
from service.db.database import Database

_SQLITE = (
    """CREATE TABLE job_transitions (id INTEGER PRIMARY KEY AUTOINCREMENT, job_id TEXT, source TEXT,
    target TEXT, version INTEGER)""",
    """CREATE TRIGGER job_created AFTER INSERT ON jobs BEGIN
    INSERT INTO job_transitions (job_id, source, target, version)
    VALUES (new.id, NULL, new.status, new.version); END""",
    """CREATE TRIGGER job_moved AFTER UPDATE ON jobs
    WHEN old.status <> new.status OR old.version <> new.version BEGIN
    INSERT INTO job_transitions (job_id, source, target, version)
    VALUES (new.id, old.status, new.status, new.version); END""",
)
_POSTGRESQL = (
    """CREATE TABLE job_transitions (id BIGSERIAL PRIMARY KEY, job_id TEXT, source TEXT, target TEXT,
    version INTEGER)""",
    """CREATE FUNCTION note_transition() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO job_transitions (job_id, source, target, version)
        VALUES (new.id, NULL, new.status, new.version);
    ELSIF old.status <> new.status OR old.version <> new.version THEN
        INSERT INTO job_transitions (job_id, source, target, version)
        VALUES (new.id, old.status, new.status, new.version);
    END IF;
    RETURN NULL; END $$""",
    """CREATE TRIGGER job_moved AFTER INSERT OR UPDATE ON jobs
    FOR EACH ROW EXECUTE FUNCTION note_transition()""",
)


@dataclass(frozen=True, slots=True)
class Transition:
    job_id: str
    source: str | None
    """None for a new job."""
    target: str
    version: int


@dataclass(frozen=True, slots=True)
class JobRow:
    id: str
    status: str
    attempt: int
    num_events: int
    """The job's own count of its events."""
    error_code: str | None = None


@dataclass(frozen=True, slots=True)
class EventRow:
    job_id: str
    seq: int
    id: str
    step: int | None = None
    """Number of the training step that the event reports, if it reports one."""
    attempt: int | None = None


@dataclass(frozen=True, slots=True)
class AttemptRow:
    job_id: str
    number: int
    is_over: bool
    resumed_at: int = 0
    """The step from which it continued; 0 for the beginning."""
    created_at: float = 0.0
    ended_at: float | None = None
    is_released: bool = True
    nodes: frozenset[str] = frozenset()
    """Ray's ids of the nodes on which it was placed."""


@dataclass(frozen=True, slots=True)
class ModelRow:
    name: str
    job_id: str
    folder: str
    """Folder of its weights in storage."""
    is_deleted: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """All lists are in the order in which things happened."""

    accepted: frozenset[str] = frozenset()
    """Jobs whose creation was answered with success."""
    jobs: tuple[JobRow, ...] = ()
    transitions: tuple[Transition, ...] = ()
    events: tuple[EventRow, ...] = ()
    attempts: tuple[AttemptRow, ...] = ()
    models: tuple[ModelRow, ...] = ()
    notifications: tuple[tuple[str, str], ...] = ()
    """Topic and job of each entry in the outbox."""
    files: frozenset[str] = frozenset()
    """Keys of the files that exist for their owners."""
    named_folders: frozenset[str] = frozenset()
    """Folders in storage: of models and listed checkpoints that exist for their owners, and of the resume
    states of unfinished jobs."""
    objects: frozenset[str] = frozenset()
    """All keys in storage."""


def record_transitions(database: Database) -> None:
    """Makes the database record every change of a job's status or version from now on."""
    statements = _POSTGRESQL if database.dialect == "postgresql" else _SQLITE
    with database.write() as session:
        for statement in statements:
            session.execute(text(statement))


def read_history(database: Database, objects: Collection[str], accepted: Collection[str]) -> History:
    with database.read() as session:
        jobs = session.scalars(select(tables.Job).order_by(tables.Job.created_at, tables.Job.id)).all()
        models = session.scalars(select(tables.Model).where(tables.Model.job_id.is_not(None))).all()
        return History(
            accepted=frozenset(accepted),
            jobs=tuple(
                JobRow(job.id, job.status, job.attempt, job.next_event_seq, (job.error or {}).get("code"))
                for job in jobs
            ),
            transitions=_transitions(session),
            events=_events(session),
            attempts=_attempts(session),
            models=tuple(
                ModelRow(row.id, row.job_id or "", _folder(row.manifest_key), row.deleted_at is not None)
                for row in models
            ),
            notifications=tuple(
                (topic, payload["id"])
                for topic, payload in session.execute(
                    select(tables.OutboxEntry.topic, tables.OutboxEntry.payload).order_by(
                        tables.OutboxEntry.id
                    )
                )
            ),
            files=frozenset(
                session.scalars(select(tables.File.object_key).where(tables.File.deleted_at.is_(None)))
            ),
            named_folders=frozenset(
                [
                    *(_folder(row.manifest_key) for row in models if row.deleted_at is None),
                    *map(_folder, session.scalars(select(tables.Checkpoint.manifest_key))),
                    *(_folder(job.resume_manifest_key) for job in jobs if job.resume_manifest_key),
                ]
            ),
            objects=frozenset(objects),
        )


def _transitions(session: Session) -> tuple[Transition, ...]:
    rows = session.execute(
        text("SELECT job_id, source, target, version FROM job_transitions ORDER BY id")
    ).tuples()
    return tuple(Transition(*row) for row in rows)


def _events(session: Session) -> tuple[EventRow, ...]:
    event = tables.JobEvent
    rows = session.execute(
        select(event.job_id, event.seq, event.id, event.type, event.data, event.attempt).order_by(
            event.job_id, event.seq
        )
    )
    return tuple(
        EventRow(job_id, seq, id, data["step"] if type == "metrics" else None, attempt)
        for job_id, seq, id, type, data, attempt in rows
    )


def _attempts(session: Session) -> tuple[AttemptRow, ...]:
    rows = session.scalars(select(tables.Attempt).order_by(tables.Attempt.job_id, tables.Attempt.number))
    return tuple(
        AttemptRow(
            job_id=row.job_id,
            number=row.number,
            is_over=row.state == "ended",
            resumed_at=0 if row.resume_from is None else _step(row.resume_from),
            created_at=row.created_at,
            ended_at=row.ended_at,
            is_released=row.released_at is not None,
            nodes=frozenset(row.nodes or ()),
        )
        for row in rows
    )


def _folder(manifest_key: str) -> str:
    return manifest_key.rpartition("/")[0] + "/"


def _step(manifest_key: str) -> int:
    place = parse_key(manifest_key)
    return getattr(place, "step", None) or 0
