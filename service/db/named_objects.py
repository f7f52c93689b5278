"""The objects whose keys are in rows; each of them must be in storage. A manifest names further objects, in
its own folder."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol, TypeVar

from sqlalchemy import ColumnElement, Select, cast, collate, literal, null, select, union_all
from sqlalchemy.orm import Session
from sqlalchemy.types import BigInteger, String

from service.db import tables
from service.db.transitions import UNFINISHED

_ROWS_AT_ONCE = 1000
_Query = Select[str, int, str, str]


@dataclass(frozen=True, slots=True)
class NamedObject:
    key: str
    bytes: int | None
    """None if only the object itself tells its size."""
    what: str
    """Kind of the row that names it."""
    owner: str
    """Id of that row."""


class Listed(Protocol):
    """An object as a store lists it."""

    @property
    def key(self) -> str: ...


T = TypeVar("T", bound=Listed)


def named_objects(session: Session, folder: str) -> Iterator[NamedObject]:
    """Objects named by rows, in one of `keys.FOLDERS`, in the order in which a store lists them. Several rows
    may name the same object."""
    if folder in _QUERIES:
        rows = union_all(*_QUERIES[folder]).subquery()
        collation = "C" if session.get_bind().dialect.name == "postgresql" else "BINARY"
        ordered = select(rows).order_by(collate(rows.c.key, collation))
        for row in session.execute(ordered, execution_options={"yield_per": _ROWS_AT_ONCE}):
            yield NamedObject(*row)


def is_named(session: Session, folder: str, key: str) -> bool:
    rows = union_all(*_QUERIES[folder]).subquery()
    return session.scalar(select(rows.c.key).where(rows.c.key == key).limit(1)) is not None


def joined(
    found: Iterable[T], named: Iterable[NamedObject]
) -> Iterator[tuple[T, NamedObject | None] | tuple[None, NamedObject]]:
    """Merges a folder's objects in storage with the named ones, each key once: stored objects, with a row
    that names them if there is one, and named objects that are missing. Both inputs are in the order of their
    keys."""
    names = (next(of_key) for _, of_key in groupby(named, key=lambda one: one.key))
    name = next(names, None)
    for one in found:
        while name is not None and name.key < one.key:
            yield None, name
            name = next(names, None)
        if name is not None and name.key == one.key:
            yield one, name
            name = next(names, None)
        else:
            yield one, None
    while name is not None:
        yield None, name
        name = next(names, None)


def _named(
    what: str, owner: ColumnElement[str], key: ColumnElement[str], bytes: ColumnElement[int] | None = None
) -> _Query:
    size = cast(null(), BigInteger) if bytes is None else bytes
    return select(
        cast(key, String).label("key"),
        size.label("bytes"),
        literal(what, literal_execute=True).label("what"),
        owner.label("owner"),
    )


def _job_objects() -> list[_Query]:
    checkpoint, model, job = tables.Checkpoint, tables.Model, tables.Job
    return [
        _named("checkpoint", checkpoint.model_name, checkpoint.manifest_key),  # type: ignore[arg-type]
        _named("model", model.id, model.manifest_key).where(  # type: ignore[arg-type]
            model.job_id.is_not(None), model.deleted_at.is_(None)
        ),
        _named("resume state", job.id, job.resume_manifest_key).where(  # type: ignore[arg-type]
            job.resume_manifest_key.is_not(None),
            job.resume_state_gone_at.is_(None),
            job.status.in_(UNFINISHED),
        ),
        _named("start", job.id, job.start_from).where(  # type: ignore[arg-type]
            job.start_from.startswith("jobs/"), job.status.in_(UNFINISHED)
        ),
    ]


def _queries() -> dict[str, list[_Query]]:
    file, part, model, export = tables.File, tables.UploadPart, tables.Model, tables.ModelExport
    part_key = literal("uploads/") + part.upload_id + literal("/") + part.id
    export_key = literal("exports/") + export.id + literal("/manifest.json")
    return {
        "files/": [
            _named("file", file.id, file.object_key, file.bytes).where(  # type: ignore[arg-type]
                file.deleted_at.is_(None)
            )
        ],
        "uploads/": [
            _named("part", part.id, part_key, part.bytes)  # type: ignore[arg-type]
            .join(tables.Upload, tables.Upload.id == part.upload_id)
            .where(tables.Upload.status == "pending")
        ],
        "imports/": [
            _named("model", model.id, model.manifest_key).where(  # type: ignore[arg-type]
                model.import_id.is_not(None), model.deleted_at.is_(None)
            )
        ],
        "exports/": [
            _named("export", export.id, export_key).where(  # type: ignore[arg-type]
                export.status == "succeeded", export.deleted_at.is_(None)
            )
        ],
        "jobs/": _job_objects(),
    }


_QUERIES = _queries()
