"""How much each project has in storage, as counted object by object by the last sweep."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import delete, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from cluster.storage.keys import AttemptKey, DatasetKey, ExportKey, FileKey, ImportKey, ObjectKey, PartKey
from service.db import tables
from service.db.database import now

NOBODY = ""
"""Stored instead of a project: for objects without a row, such as those of a deleted project, and for
compiled files."""
_STORED = tables.StoredBytes
Place = TypeVar("Place", bound=ObjectKey)


@dataclass(frozen=True, slots=True)
class Stored:
    project_id: str
    kind: str
    """Kind of object, such as files or checkpoints."""
    objects: int
    bytes: int
    measured_at: int


def owners_of(session: Session, places: Collection[ObjectKey]) -> Callable[[ObjectKey], str]:
    """Returns a function that says to which project each of these objects belongs.

    Compiled files belong to nobody: they are stored once for all files with the same bytes, so that counting
    them for one project would tell another whether somebody else has its file."""

    def ids(kind: type[Place], of: Callable[[Place], str]) -> set[str]:
        return {of(place) for place in places if isinstance(place, kind)}

    def projects(
        id: InstrumentedAttribute[str], project: InstrumentedAttribute[str], wanted: set[str]
    ) -> dict[str, str]:
        rows = select(id, project).where(id.in_(wanted))
        return dict(session.execute(rows).tuples().all()) if wanted else {}

    file, upload, job = tables.File, tables.Upload, tables.Job
    files = projects(file.id, file.project_id, ids(FileKey, lambda place: place.file_id))
    uploads = projects(upload.id, upload.project_id, ids(PartKey, lambda place: place.upload_id))
    jobs = projects(job.id, job.project_id, ids(AttemptKey, lambda place: place.job_id))
    imported, exported = tables.ModelImport, tables.ModelExport
    imports = projects(imported.id, imported.project_id, ids(ImportKey, lambda place: place.import_id))
    exports = projects(exported.id, exported.project_id, ids(ExportKey, lambda place: place.export_id))

    def owner(place: ObjectKey) -> str:
        match place:
            case FileKey(id):
                return files.get(id, NOBODY)
            case PartKey(id):
                return uploads.get(id, NOBODY)
            case DatasetKey():
                return NOBODY
            case ImportKey(id):
                return imports.get(id, NOBODY)
            case ExportKey(id):
                return exports.get(id, NOBODY)
            case AttemptKey(job_id):
                return jobs.get(job_id, NOBODY)

    return owner


def record_stored(session: Session, counts: Mapping[tuple[str, str], tuple[int, int]]) -> None:
    """Replaces what was recorded before by numbers of objects and bytes, by project and kind."""
    at = int(now(session))
    wanted = {project_id for project_id, _ in counts}
    # A project that is being deleted right now does not get a row.
    there = select(tables.Project.id).where(tables.Project.id.in_(wanted)).order_by(tables.Project.id)
    known = {NOBODY, *session.scalars(there.with_for_update(read=True, key_share=True))}
    session.execute(delete(_STORED))
    totals: dict[tuple[str, str], tuple[int, int]] = {(NOBODY, "files"): (0, 0)}
    for (project_id, kind), (objects, size) in counts.items():
        place = (project_id if project_id in known else NOBODY, kind)
        before = totals.get(place, (0, 0))
        totals[place] = (before[0] + objects, before[1] + size)
    for (project_id, kind), (objects, size) in sorted(totals.items()):
        session.add(_STORED(project_id=project_id, kind=kind, objects=objects, bytes=size, measured_at=at))
    session.flush()


def stored_of(session: Session, organization_id: str) -> list[Stored]:
    """Stored objects by project and kind."""
    rows = session.scalars(
        select(_STORED)
        .join(tables.Project, tables.Project.id == _STORED.project_id)
        .where(tables.Project.organization_id == organization_id)
        .order_by(_STORED.project_id, _STORED.kind)
    )
    return [Stored(row.project_id, row.kind, row.objects, row.bytes, row.measured_at) for row in rows]


def measured_at(session: Session) -> int | None:
    """When storage was last counted. None if it never was."""
    return session.scalar(select(func.max(_STORED.measured_at)))


def stored_by_kind(session: Session) -> dict[str, int]:
    """Bytes in the whole installation, by kind."""
    sums = select(_STORED.kind, func.sum(_STORED.bytes)).group_by(_STORED.kind)
    return {kind: int(size) for kind, size in session.execute(sums)}
