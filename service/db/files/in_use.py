"""Finds files that are in use and must not be deleted."""

from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Select, and_, exists, select, union
from sqlalchemy.orm import InstrumentedAttribute

from service.db import tables
from service.db.transitions import UNFINISHED


def is_unused(file_id: ColumnElement[str] | InstrumentedAttribute[str]) -> ColumnElement[bool]:
    """Selects files that are not among `files_in_use`, using indexes."""
    job, imported = tables.Job, tables.ModelImport
    of_jobs = (job.training_file, job.validation_file, job.general_file)
    of_imports = (imported.config_file, imported.weights_file)
    return and_(
        *(~exists().where(column == file_id, job.status.in_(UNFINISHED)) for column in of_jobs),
        *(~exists().where(column == file_id, imported.status == "validating") for column in of_imports),
    )


def files_in_use() -> CompoundSelect[Any]:
    """The ids of all files, in all projects, that an unended job or import uses. None of them is NULL."""
    job, imported = tables.Job, tables.ModelImport
    uses: list[Select[Any]] = [
        select(column).where(job.status.in_(UNFINISHED), column.is_not(None))
        for column in (job.training_file, job.validation_file, job.general_file)
    ]
    for column in (imported.config_file, imported.weights_file):
        uses.append(select(column).where(imported.status == "validating"))
    return union(*uses)
