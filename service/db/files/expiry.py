"""Expiry of files: at their time, unless a legal hold keeps them. After the hold is released, that time
applies again."""

from sqlalchemy import ColumnElement, and_, exists, or_

from service.db import tables

_FILE, _HOLD, _JOB = tables.File, tables.LegalHold, tables.Job


def has_not_expired(at: float) -> ColumnElement[bool]:
    """Selects files that have not expired."""
    return or_(_FILE.expires_at.is_(None), _FILE.expires_at > int(at), _is_held())


def _is_held() -> ColumnElement[bool]:
    """Like `held_of` of legal holds, for files that can expire. Files that jobs make cannot expire."""
    uses = (_JOB.training_file, _JOB.validation_file, _JOB.general_file)
    of_held_job = (
        exists()
        .where(_JOB.id == _HOLD.resource_id, or_(*(column == _FILE.id for column in uses)))
        .correlate(_FILE, _HOLD)
    )
    holds = or_(
        _HOLD.type == "project",
        and_(_HOLD.type == "file", _HOLD.resource_id == _FILE.id),
        and_(_HOLD.type == "job", of_held_job),
    )
    return exists().where(_HOLD.project_id == _FILE.project_id, holds).correlate(_FILE)
