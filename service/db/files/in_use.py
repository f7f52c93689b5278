"""Finds files that are in use, and must not be deleted."""

from typing import Any

from sqlalchemy import CompoundSelect, Select, select, union

from service.db import tables
from service.db.transitions import UNFINISHED


def files_in_use() -> CompoundSelect[Any]:
    """The ids of those that a job or an import uses that has not ended, in all projects. None is NULL."""
    job, imported = tables.Job, tables.ModelImport
    uses: list[Select[Any]] = [
        select(column).where(job.status.in_(UNFINISHED), column.is_not(None))
        for column in (job.training_file, job.validation_file, job.general_file)
    ]
    for column in (imported.config_file, imported.weights_file):
        uses.append(select(column).where(imported.status == "validating"))
    return union(*uses)
