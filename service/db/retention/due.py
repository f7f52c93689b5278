"""What a project's retention deletes: items that are older than their term, not held and not needed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select, true
from sqlalchemy.orm import Session, aliased

from cluster.contracts.jobs import JobStatus
from cluster.storage.keys import folder_of
from service.db import tables
from service.db.files.in_use import is_unused
from service.db.retention.holds import Held
from service.db.retention.rules import DAY_SECONDS, RetentionKind, Term
from service.db.transitions import ENDED, UNFINISHED
from service.db.usage.usage import HOUR

RESULTS = "fine-tune-results"
"""Purpose of the files that jobs have made."""
MAX_FOLDERS = 100
"""Maximum number of folders of one kind whose bytes a report counts: each is a request to storage, one after
the other, while a client waits."""
_FILE, _JOB, _CHECKPOINT, _EVENT = tables.File, tables.Job, tables.Checkpoint, tables.JobEvent


@dataclass(frozen=True, slots=True)
class Due:
    """The due items of one kind."""

    kind: RetentionKind
    count: int
    """Number of files, checkpoints, jobs whose resume state ends, exports, or rows of events or usage."""
    bytes: int
    """Bytes according to the rows, without the folders below."""
    oldest_at: float | None
    folders: Sequence[str] = ()
    """Folders in storage with further bytes: at most MAX_FOLDERS + 1 of them."""


def due_files(project_id: str, before: float, held: Held, *, of_jobs: bool) -> Select[tables.File]:
    """Due files: those made by jobs if `of_jobs`, otherwise the other ones. Files that a job or an import
    still uses are not due. Expired files are not included."""
    return select(_FILE).where(
        _FILE.project_id == project_id,
        _FILE.deleted_at.is_(None),
        _FILE.created_at <= before,
        or_(_FILE.expires_at.is_(None), _FILE.expires_at > before),
        _FILE.purpose == RESULTS if of_jobs else _FILE.purpose != RESULTS,
        is_unused(_FILE.id),
        _not_held(held, _FILE.id, held.files),
    )


def due_checkpoints(project_id: str, before: float, held: Held) -> Select[tables.Checkpoint]:
    """Checkpoints of jobs that ended before `before`, except the weights of an existing model, checkpoints
    that an alias names or has named since it was created, shared checkpoints, and checkpoints from which an
    unfinished job starts."""
    change, deletion, other = tables.ModelAliasChange, aliased(tables.ModelAliasChange), aliased(tables.Job)
    is_alias_gone = exists().where(
        deletion.project_id == change.project_id,
        deletion.alias == change.alias,
        deletion.version > change.version,
        deletion.model.is_(None),
    )
    is_published = exists().where(
        tables.Model.manifest_key == _CHECKPOINT.manifest_key, tables.Model.deleted_at.is_(None)
    )
    # Short lists that the database builds once: there is no index for looking up each checkpoint.
    named = select(change.model).where(change.model.is_not(None), ~is_alias_gone)
    starts = select(other.start_from).where(other.status.in_(UNFINISHED), other.start_from.is_not(None))
    is_shared = exists().where(tables.CheckpointPermission.checkpoint_id == _CHECKPOINT.id)
    return (
        select(_CHECKPOINT)
        .join(_JOB, _JOB.id == _CHECKPOINT.job_id)
        .where(
            _ended(project_id, before),
            _CHECKPOINT.model_name.not_in(named),
            _CHECKPOINT.manifest_key.not_in(starts),
            ~is_published,
            ~is_shared,
            _not_held(held, _CHECKPOINT.model_name, held.models),
            _not_held(held, _JOB.id, held.jobs),
        )
    )


def due_event_jobs(project_id: str, before: float, held: Held) -> Select[tables.Job]:
    """Jobs that ended before `before` and have events. The events of a trained job that failed stay as long
    as its weights, because they are needed to publish it again."""
    may_be_published = and_(
        _JOB.status == JobStatus.FAILED.value,
        _JOB.publishing.is_not(None),
        exists().where(_CHECKPOINT.job_id == _JOB.id),
    )
    return select(_JOB).where(
        _ended(project_id, before),
        exists().where(_EVENT.job_id == _JOB.id),
        ~may_be_published,
        _not_held(held, _JOB.id, held.jobs),
    )


def due_usage(project_id: str, before: float, held: Held) -> ColumnElement[bool]:
    """Usage of whole days (UTC)."""
    row = tables.Usage
    until = int(before // DAY_SECONDS * DAY_SECONDS)
    return and_(row.project_id == project_id, row.start < until, true() if not held.is_whole else ~true())


def due_figures(
    session: Session, project_id: str, terms: Mapping[RetentionKind, Term], held: Held, at: float
) -> list[Due]:
    """The due items of each kind that has a term and figures of its own: data reports belong to files, and
    are deleted with them or before."""
    found = []
    for kind, term in terms.items():
        if term.seconds is not None and kind in _FIGURES:
            found.append(_FIGURES[kind](session, project_id, at - term.seconds, held, at))
    return found


def _files(session: Session, project_id: str, before: float, held: Held, at: float) -> Due:
    return _of_files(session, "files", due_files(project_id, before, held, of_jobs=False))


def _results(session: Session, project_id: str, before: float, held: Held, at: float) -> Due:
    return _of_files(session, "results", due_files(project_id, before, held, of_jobs=True))


def _of_files(session: Session, kind: RetentionKind, due: Select[tables.File]) -> Due:
    figures = (func.count(), func.coalesce(func.sum(_FILE.bytes), 0), func.min(_FILE.created_at))
    count, size, oldest = session.execute(due.with_only_columns(*figures)).one()
    return Due(kind, count, int(size), oldest)


def _events(session: Session, project_id: str, before: float, held: Held, at: float) -> Due:
    jobs = due_event_jobs(project_id, before, held).with_only_columns(_JOB.id)
    figures = select(func.count(), func.min(_EVENT.created_at)).where(_EVENT.job_id.in_(jobs))
    count, oldest = session.execute(figures).one()
    return Due("events", count, 0, oldest)


def _usage(session: Session, project_id: str, before: float, held: Held, at: float) -> Due:
    row = tables.Usage
    figures = select(func.count(), func.min(row.start)).where(due_usage(project_id, before, held))
    count, oldest = session.execute(figures.where(row.seconds == HOUR)).one()
    return Due("usage", count, 0, oldest)


def _checkpoints(session: Session, project_id: str, before: float, held: Held, at: float) -> Due:
    due = due_checkpoints(project_id, before, held)
    count, oldest = session.execute(
        due.with_only_columns(func.count(), func.min(_CHECKPOINT.created_at))
    ).one()
    keys = session.scalars(due.with_only_columns(_CHECKPOINT.manifest_key).limit(MAX_FOLDERS + 1))
    return Due("checkpoints", count, 0, oldest, [folder_of(key) for key in keys])


def _resume_states(session: Session, project_id: str, before: float, held: Held, at: float) -> Due:
    due = select(_JOB).where(
        _ended(project_id, before),
        _JOB.resume_state_gone_at.is_(None),
        _JOB.resume_manifest_key.is_not(None),
        _not_held(held, _JOB.id, held.jobs),
    )
    count, oldest = session.execute(due.with_only_columns(func.count(), func.min(_JOB.resume_saved_at))).one()
    keys = session.scalars(due.with_only_columns(_JOB.resume_manifest_key).limit(MAX_FOLDERS + 1))
    return Due("resume_states", count, 0, oldest, [folder_of(key) for key in keys if key is not None])


def _exports(session: Session, project_id: str, before: float, held: Held, at: float) -> Due:
    """Exports have an expiry time of their own."""
    row = tables.ModelExport
    figures = (func.count(), func.coalesce(func.sum(row.total_bytes), 0), func.min(row.created_at))
    count, size, oldest = session.execute(
        select(*figures).where(
            row.project_id == project_id, row.deleted_at.is_(None), row.expires_at <= int(at)
        )
    ).one()
    return Due("exports", count, int(size or 0), oldest)


_FIGURES: Mapping[RetentionKind, Any] = {
    "files": _files,
    "results": _results,
    "events": _events,
    "usage": _usage,
    "checkpoints": _checkpoints,
    "resume_states": _resume_states,
    "exports": _exports,
}


def _ended(project_id: str, before: float) -> ColumnElement[bool]:
    return and_(_JOB.project_id == project_id, _JOB.status.in_(ENDED), _JOB.finished_at <= before)


def _not_held(held: Held, column: Any, ids: frozenset[str]) -> ColumnElement[bool]:
    if held.is_whole:
        return ~true()
    return column.not_in(ids) if ids else true()
