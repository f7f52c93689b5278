"""Finds the objects in storage that are still needed: those to which rows of the database refer.

A sweep first lists an object, then asks here, and deletes it last. That order makes it safe at any time,
without any coordination with the processes that write objects:

- A row announces every object before its first byte is written: an incoming file has a row of its own, a
  part its upload's row, an attempt's objects the attempt's row, and a result file its job, which is
  publishing. So the row of an object that was listed exists when the rows are read.
- An object that is no longer needed is never needed again. Deleted files, models and checkpoints do not come
  back, a job or an upload that has ended stays ended, and a replaced attempt is fenced off. Before anything
  becomes unneeded because time has passed, that is recorded (`expire`), under the lock that a new user of it
  takes too.
- A compiled data set may be deleted at any time. Without it, the file is compiled again. The same applies to
  serving's measurements of a model that is to be published.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf

from sqlalchemy import func, select, union
from sqlalchemy.orm import Session

from cluster.contracts.jobs import JobStatus
from cluster.contracts.manifest import is_resume_file
from cluster.storage.keys import (
    AttemptKey,
    DatasetKey,
    ExportKey,
    FileKey,
    ImportKey,
    ObjectKey,
    PartKey,
    folder_of,
)
from service.db import tables
from service.db.database import now
from service.db.files.in_use import files_in_use
from service.db.files.incoming import IncomingFiles
from service.db.files.uploads import expire_uploads, pending_uploads
from service.db.ids import event_file_id, result_file_id
from service.db.models.exports import delete_ended_exports
from service.db.organization.audit_log import record
from service.db.retention.holds import held_of
from service.db.retention.rules import RetentionRules
from service.db.retention.terms import terms_of
from service.db.tenancy import Tenant
from service.db.transitions import ENDED, HELD_BY_ATTEMPT, UNFINISHED


@dataclass(frozen=True, slots=True)
class ReachableJobObjects:
    """Objects of one job that are still needed."""

    writing_attempt: int | None
    """Number of the attempt that may be writing now."""
    newest_step: int
    """Step of the newest listed checkpoint; 0 if there is none. A later one may be in progress."""
    resume_step: int
    """Step of the newest resume state; 0 if there is none. A later one may be in progress."""
    weights: frozenset[str]
    """Folders with needed weights: those of checkpoints that have a name or from which jobs start."""
    states: frozenset[str]
    """Folders with needed resume states."""

    def contains(self, place: AttemptKey) -> bool:
        is_writing = place.number == self.writing_attempt
        if place.step is None:
            return is_writing
        if is_resume_file(place.name):
            return place.folder in self.states or (is_writing and place.step > self.resume_step)
        return place.folder in self.weights or (is_writing and place.step > self.newest_step)


@dataclass(frozen=True, slots=True)
class ReachableObjects:
    """The subset of the given places that is still needed."""

    files: frozenset[str] = frozenset()
    uploads: frozenset[str] = frozenset()
    datasets: frozenset[str] = frozenset()
    jobs: dict[str, ReachableJobObjects] = field(default_factory=dict)
    imports: frozenset[str] = frozenset()
    exports: frozenset[str] = frozenset()
    report_seconds: dict[str, float] = field(default_factory=dict)
    """How long data reports are kept, by the SHA-256 of their file, if not as long as the file."""

    def contains(self, place: ObjectKey, *, age_seconds: float = 0.0) -> bool:
        match place:
            case FileKey(file_id):
                return file_id in self.files
            case PartKey(upload_id):
                return upload_id in self.uploads
            case DatasetKey(file_sha256, is_report):
                is_over = is_report and age_seconds >= self.report_seconds.get(file_sha256, inf)
                return file_sha256 in self.datasets and not is_over
            case AttemptKey(job_id):
                job = self.jobs.get(job_id)
                return job is not None and job.contains(place)
            case ImportKey(import_id):
                return import_id in self.imports
            case ExportKey(export_id):
                return export_id in self.exports


def has_been_used(session: Session) -> bool:
    """Whether the database was ever used. Rows of files, uploads and jobs are deleted only with a project,
    and the audit log records that."""
    of_projects = (select(column).limit(1) for column in (tables.File.id, tables.Upload.id, tables.Job.id))
    deleted = select(tables.AuditEntry.id).where(tables.AuditEntry.type == "project.deleted").limit(1)
    return any(session.scalar(found) is not None for found in (*of_projects, deleted))


def expire(
    session: Session,
    places: Iterable[ObjectKey],
    *,
    resume_state_seconds: float,
    retention: RetentionRules = RetentionRules(),
) -> None:
    """Records permanently what has become unneeded because time has passed: incoming files whose process must
    be dead, expired uploads and files, and the resume state of jobs that ended `resume_state_seconds` ago, or
    longer ago than their project keeps it. Use `Database.write`."""
    places = list(places)
    IncomingFiles(session).abandon_expired()
    expire_uploads(session)
    _delete_expired(session, {place.file_id for place in places if isinstance(place, FileKey)})
    delete_ended_exports(session, list({place.export_id for place in places if isinstance(place, ExportKey)}))
    jobs = {place.job_id for place in places if isinstance(place, AttemptKey)}
    _end_resume_state(session, jobs, resume_state_seconds, retention)


def find_reachable(
    session: Session, places: Iterable[ObjectKey], *, retention: RetentionRules = RetentionRules()
) -> ReachableObjects:
    """Use `Database.read`, so that all rows are read as of the same moment."""
    places = list(places)
    files = {place.file_id for place in places if isinstance(place, FileKey)}
    uploads = {place.upload_id for place in places if isinstance(place, PartKey)}
    datasets = {place.file_sha256 for place in places if isinstance(place, DatasetKey)}
    jobs = {place.job_id for place in places if isinstance(place, AttemptKey)}
    return ReachableObjects(
        files=_reachable_files(session, files),
        uploads=pending_uploads(session, uploads),
        datasets=frozenset(
            session.scalars(
                select(tables.File.sha256).where(
                    tables.File.sha256.in_(datasets), tables.File.deleted_at.is_(None)
                )
            )
        ),
        report_seconds=_report_seconds(
            session,
            {place.file_sha256 for place in places if isinstance(place, DatasetKey) and place.is_report},
            retention,
        ),
        jobs=_reachable_job_objects(session, jobs),
        imports=_reachable_imports(
            session, {place.import_id for place in places if isinstance(place, ImportKey)}
        ),
        exports=_reachable_exports(
            session, {place.export_id for place in places if isinstance(place, ExportKey)}
        ),
    )


def _delete_expired(session: Session, file_ids: Collection[str]) -> None:
    """Deletes expired files like `Files.delete`: a file that a job uses stays until the job has ended."""
    at = int(now(session))
    expired = session.scalars(
        select(tables.File)
        .where(tables.File.id.in_(file_ids), tables.File.expires_at <= at, tables.File.deleted_at.is_(None))
        .order_by(tables.File.id)
        .with_for_update(skip_locked=True)
    ).all()
    # A separate statement after the locks, so that it sees jobs of transactions that held the locks before.
    used = set(session.scalars(files_in_use())) if expired else set()
    held = {id: held_of(session, id) for id in {row.project_id for row in expired}}
    for row in expired:
        if row.id not in used and not held[row.project_id].has_file(row.id):
            row.deleted_at = at
            record(session, Tenant(row.organization_id, row.project_id), "file.deleted", row.id)
    session.flush()


def _end_resume_state(
    session: Session, job_ids: Collection[str], default_seconds: float, retention: RetentionRules
) -> None:
    at, job = now(session), tables.Job
    ended = session.execute(
        select(job.id, job.project_id, job.finished_at).where(
            job.id.in_(job_ids),
            job.status.in_(ENDED),
            job.finished_at.is_not(None),
            job.resume_state_gone_at.is_(None),
        )
    ).all()
    seconds = {
        id: default_seconds if term.set_by == "server" else term.seconds
        for id in {project_id for _, project_id, _ in ended}
        for term in [terms_of(session, retention, id)["resume_states"]]
    }
    due = [
        id
        for id, project_id, finished_at in ended
        if (kept := seconds[project_id]) is not None and (finished_at or 0) <= at - kept
    ]
    rows = session.scalars(
        select(job)
        .where(job.id.in_(due), job.status.in_(ENDED))
        .order_by(job.id)
        .with_for_update(skip_locked=True)
    ).all()
    # Read after the locks, which are also taken to place a hold on a job.
    held = {id: held_of(session, id) for id in {row.project_id for row in rows}}
    checkpoint = tables.Checkpoint
    # Runners of earlier releases stored a state with each checkpoint.
    saved = set(session.scalars(select(checkpoint.job_id).where(checkpoint.job_id.in_(due)).distinct()))
    for row in rows:
        if not held[row.project_id].has_job(row.id):
            row.resume_state_gone_at = int(at)
            if row.resume_manifest_key is not None or row.id in saved:
                tenant = Tenant(row.organization_id, row.project_id)
                record(session, tenant, "fine_tuning.job.resume_state.deleted", row.id)
    session.flush()


def _report_seconds(
    session: Session, file_sha256s: Collection[str], retention: RetentionRules
) -> dict[str, float]:
    """A report that several projects have is kept as long as the project with the longest term keeps it."""
    if not file_sha256s:
        return {}
    file = tables.File
    rows = select(file.sha256, file.project_id).where(
        file.sha256.in_(file_sha256s), file.deleted_at.is_(None)
    )
    owners = session.execute(rows.distinct()).tuples().all()
    seconds = {
        id: terms_of(session, retention, id)["data_reports"].seconds for id in {owner for _, owner in owners}
    }
    kept: dict[str, float] = {}
    for sha256, project_id in owners:
        term = seconds[project_id]
        kept[sha256] = max(kept.get(sha256, 0.0), inf if term is None else term)
    return kept


def _reachable_files(session: Session, ids: Collection[str]) -> frozenset[str]:
    if not ids:
        return frozenset()
    written = select(tables.File.id).where(tables.File.id.in_(ids), tables.File.deleted_at.is_(None))
    on_their_way = select(tables.IncomingFile.file_id).where(tables.IncomingFile.file_id.in_(ids))
    found = frozenset([*session.scalars(written), *session.scalars(on_their_way)])
    # Jobs are searched only for the remaining files: few of a page, and usually none.
    return found if found.issuperset(ids) else found | _result_files(session)


def _result_files(session: Session) -> frozenset[str]:
    """Result files of trained jobs that are being published, or have failed and may be published again."""
    publishing = select(tables.Job.id).where(
        tables.Job.status.in_((JobStatus.PUBLISHING, JobStatus.FAILED)), tables.Job.publishing.is_not(None)
    )
    return frozenset(of(job) for job in session.scalars(publishing) for of in (result_file_id, event_file_id))


def _reachable_imports(session: Session, ids: Collection[str]) -> frozenset[str]:
    """Imports that are being validated, whose model exists, or from which an unfinished job starts."""
    if not ids:
        return frozenset()
    validating = select(tables.ModelImport.id).where(
        tables.ModelImport.id.in_(ids), tables.ModelImport.status == "validating"
    )
    published = select(tables.Model.import_id).where(
        tables.Model.import_id.in_(ids), tables.Model.deleted_at.is_(None)
    )
    named = {id for id in session.scalars(union(validating, published)) if id is not None}
    continued = _continued(session)
    return frozenset(named | {id for id in ids if f"imports/{id}/" in continued})


def _reachable_exports(session: Session, ids: Collection[str]) -> frozenset[str]:
    """Exports that are being made, or whose result exists for its owner: `expire` records which ones do
    not."""
    export = tables.ModelExport
    needed = select(export.id).where(
        export.id.in_(ids), export.status != "failed", export.deleted_at.is_(None)
    )
    return frozenset(session.scalars(needed)) if ids else frozenset()


def _reachable_job_objects(session: Session, ids: Collection[str]) -> dict[str, ReachableJobObjects]:
    if not ids:
        return {}
    named = _named_checkpoints(session, ids)
    continued = _continued(session)
    newest = dict(
        session.execute(
            select(tables.Checkpoint.job_id, func.max(tables.Checkpoint.step))
            .where(tables.Checkpoint.job_id.in_(ids))
            .group_by(tables.Checkpoint.job_id)
        )
        .tuples()
        .all()
    )
    jobs = session.scalars(select(tables.Job).where(tables.Job.id.in_(ids))).all()
    held = {id: held_of(session, id) for id in {job.project_id for job in jobs}}
    reachable = {}
    for job in jobs:
        forms = dict(named.get(job.id, []))
        started_from = {folder for folder in continued if folder.startswith(f"jobs/{job.id}/")}
        reachable[job.id] = ReachableJobObjects(
            writing_attempt=job.attempt if JobStatus(job.status) in HELD_BY_ATTEMPT else None,
            newest_step=newest.get(job.id, 0),
            resume_step=job.resume_step,
            weights=frozenset(forms) | started_from,
            states=_states(job, forms, is_held=held[job.project_id].has_job(job.id)) | started_from,
        )
    return reachable


def _states(job: tables.Job, forms: Mapping[str, str], *, is_held: bool) -> frozenset[str]:
    """Folders of the resume states of the job itself. `forms` are the forms of its named checkpoints, by
    folder."""
    # A prefix cannot be trained from its served form. Its trainable form is in the resume state.
    prefixes = frozenset(folder for folder, form in forms.items() if form == "prefix")
    if job.resume_state_gone_at is not None:
        return prefixes
    if job.resume_manifest_key is None:
        # Runners of earlier releases stored a state with each checkpoint.
        return frozenset(forms)
    newest = folder_of(job.resume_manifest_key)
    # Once the job has ended, the state is only needed for a checkpoint that another job can name, unless the
    # job is held.
    is_needed = is_held or newest in forms or not JobStatus(job.status).is_terminal
    return prefixes | {newest} if is_needed else prefixes


def _named_checkpoints(session: Session, ids: Collection[str]) -> dict[str, list[tuple[str, str]]]:
    """Folders and forms by job: of its listed checkpoints, of its model, and of a model that is being
    published."""
    published = select(tables.Model.job_id, tables.Model.manifest_key, tables.Model.form).where(
        tables.Model.job_id.in_(ids), tables.Model.deleted_at.is_(None)
    )
    listed = select(tables.Checkpoint.job_id, tables.Checkpoint.manifest_key, tables.Checkpoint.form).where(
        tables.Checkpoint.job_id.in_(ids)
    )
    named: dict[str, list[tuple[str, str]]] = {}
    for job_id, manifest_key, form in [*session.execute(published), *session.execute(listed)]:
        named.setdefault(job_id, []).append((folder_of(manifest_key), form))
    results = session.execute(
        select(tables.Attempt.job_id, tables.Attempt.result)
        .join(tables.Job, tables.Job.id == tables.Attempt.job_id)
        .where(
            tables.Job.id.in_(ids),
            tables.Job.status == JobStatus.PUBLISHING,
            tables.Attempt.number == tables.Job.attempt,
        )
    )
    for job_id, result in results:
        assert result is not None, "a job is published once its runner has finished"
        named.setdefault(job_id, []).append((folder_of(result["manifest_key"]), result["form"]))
    return named


def _continued(session: Session) -> set[str]:
    """Folders of the checkpoints from which unfinished jobs start. They stay complete, even if their names
    were deleted in the meantime: the job may need the optimizer state."""
    keys = session.scalars(
        select(tables.Job.start_from).where(
            tables.Job.status.in_(UNFINISHED), tables.Job.start_from.is_not(None)
        )
    )
    return {folder_of(key) for key in keys if key is not None}
