"""Checks the files of a new job, and locks them until the job's row is written."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.contracts.datasets import MIN_TRAINING_EXAMPLES, DatasetFormat, too_few_examples
from cluster.contracts.errors import InvalidRequest
from service.db import tables
from service.db.database import now
from service.db.files.expiry import has_not_expired
from service.db.files.files import File, file_of
from service.db.tenancy import Tenant

GENERAL_FORMATS: tuple[DatasetFormat, ...] = ("chat", "completion")
"""Allowed formats of a general set, whatever the job trains on: text that both models can complete."""


@dataclass(frozen=True, slots=True)
class JobFiles:
    training: File
    validation: File | None
    general: File | None


@dataclass(frozen=True, slots=True)
class FileRequirement:
    param: str
    """Parameter of the request that names the file, e.g. `training_file`."""
    id: str
    formats: tuple[DatasetFormat, ...]
    """Row formats that the file may have."""


def check_files(session: Session, tenant: Tenant, wanted: list[FileRequirement]) -> list[File]:
    """Returns the files in the same order.

    Raises InvalidRequest, with the file's `param`, if a file is absent, has another purpose, is empty
    (`invalid_n_examples`), failed its check or has rows of another format (`wrong_format`)."""
    # Locked, and always in the same order: the file was deleted before and is absent, or the job now uses it.
    rows = session.scalars(
        select(tables.File)
        .where(
            tables.File.id.in_([one.id for one in wanted]),
            tables.File.organization_id == tenant.organization_id,
            tables.File.project_id == tenant.project_id,
            tables.File.deleted_at.is_(None),
            has_not_expired(now(session)),
        )
        .order_by(tables.File.id)
        .with_for_update(read=True)
    )
    files = {row.id: row for row in rows}
    for one in wanted:
        file = files.get(one.id)
        if file is not None and file.n_examples == 0:
            least = MIN_TRAINING_EXAMPLES if one.param == "training_file" else 1
            message = too_few_examples(one.param, 0, least)
            raise InvalidRequest(message, code="invalid_n_examples", param=one.param)
        problem = _problem(file)
        if problem is not None:
            code = f"invalid_{one.param.rpartition('.')[2]}"
            raise InvalidRequest(f"{one.id} {problem}", code=code, param=one.param)
        problem = None if file is None else format_problem(file.format, one.formats)
        if problem is not None:
            raise InvalidRequest(f"{one.id} {problem}", code="wrong_format", param=one.param)
    return [file_of(files[one.id]) for one in wanted]


def format_problem(found: str | None, allowed: Sequence[str | None]) -> str | None:
    """Describes what is wrong with a file's row format, as the end of a sentence. None if nothing is wrong,
    or if the rows have not been read yet."""
    if found is None or found in allowed:
        return None
    return f"holds {found} rows, but the job needs {' or '.join(map(str, allowed))} rows."


def _problem(file: tables.File | None) -> str | None:
    if file is None:
        return "does not exist or is not yours."
    if file.purpose != "fine-tune":
        return f"has purpose '{file.purpose}', but must have purpose 'fine-tune'."
    if file.status == "error":
        return f"cannot be used: {file.status_details}"
    return None
