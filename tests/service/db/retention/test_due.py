"""What retention looks at costs the database a time that grows with the rows, and not with their square."""

from itertools import count
from typing import Any

import pytest
from sqlalchemy import Select, func, insert
from sqlalchemy.orm import Session

from service.db import tables
from service.db.database import Database
from service.db.retention.due import due_checkpoints, due_files
from service.db.retention.holds import Held
from tests.service.db.rows import TENANT, add_tenants

_OWNER = {"organization_id": TENANT.organization_id, "project_id": TENANT.project_id}
_ALWAYS = 1e12


def _grow(session: Session, rows: range) -> None:
    """For each, a job that waits, one that has ended, their two files, and a checkpoint and a model of the
    latter."""
    files, jobs, checkpoints, models = [], [], [], []
    for row in rows:
        for status in ("queued", "succeeded"):
            file, job = f"file-{status}-{row}", f"ftjob-{status}-{row}"
            files.append(
                _OWNER
                | {"id": file, "filename": "a.jsonl", "purpose": "fine-tune", "bytes": 10, "sha256": "0" * 64}
                | {"object_key": f"files/{file}", "status": "processed", "created_at": 1}
            )
            jobs.append(
                _OWNER
                | {"id": job, "status": status, "model": "base-1", "training_file": file, "seed": 1}
                | {"hyperparameters": {}, "training": {}, "output_model": f"ft:{job}", "created_at": 1}
                | {"finished_at": None if status == "queued" else 1, "start_from": f"jobs/start-{row}"}
            )
        weights = {"job_id": job, "manifest_sha256": "0" * 64, "form": "lora", "created_at": 1}
        checkpoints.append(
            weights
            | {"id": f"ftckpt-{row}", "step": 1, "model_name": f"ft:{job}:ckpt-step-1", "metrics": {}}
            | {"manifest_key": f"jobs/{job}/1"}
        )
        models.append(
            weights | _OWNER | {"id": f"ft:{job}", "base": "base-1", "manifest_key": f"jobs/{job}/2"}
        )
    for table, new in (
        (tables.File, files),
        (tables.Job, jobs),
        (tables.Checkpoint, checkpoints),
        (tables.Model, models),
    ):
        session.execute(insert(table), new)


def _steps(session: Session, due: Select[Any], expected: int) -> int:
    """How many hundreds of instructions SQLite's virtual machine needs to count what is due."""
    steps = count()
    connection: Any = session.connection().connection.dbapi_connection
    connection.set_progress_handler(lambda: next(steps) and None, 100)
    assert session.scalar(due.with_only_columns(func.count())) == expected
    connection.set_progress_handler(None, 0)
    return next(steps)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("due", ["files", "checkpoints"])
def test_twice_as_many_rows_take_no_more_than_some_twice_the_work(database: Database, due: str) -> None:
    add_tenants(database)
    project, nothing = TENANT.project_id, Held()
    queries: dict[str, Select[Any]] = {
        "files": due_files(project, _ALWAYS, nothing, of_jobs=False),
        "checkpoints": due_checkpoints(project, _ALWAYS, nothing),
    }
    query = queries[due]
    with database.write() as session:
        _grow(session, range(300))
        few = _steps(session, query, 300)
        _grow(session, range(300, 600))
        assert _steps(session, query, 600) < 3 * few
